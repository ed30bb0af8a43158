//! Pure: patterns of names, as an operator's policy and a Webhook write them.

/// Whether one of `globs` matches.
pub(crate) fn any_glob_matches(globs: &[String], text: &str) -> bool {
    globs.iter().any(|glob| glob_matches(glob, text))
}

/// `*` stands for any text, also none; everything else for itself.
pub(crate) fn glob_matches(glob: &str, text: &str) -> bool {
    let Some((head, mut rest)) = glob.split_once('*') else { return glob == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    while let Some((middle, tail)) = rest.split_once('*') {
        let Some(at) = text.find(middle) else { return false };
        text = &text[at + middle.len()..];
        rest = tail;
    }
    text.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_texts() {
        for (glob, text, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("orders:*", "orders:read", true),
            ("orders:*", "orders", false),
            ("*:read", "orders:read", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("a*a", "a", false),
            ("plain", "plain", true),
            ("plain", "plainer", false),
            ("https://*.example.com", "https://api.example.com", true),
            ("https://*.example.com", "https://example.com.evil.test", false),
        ] {
            assert_eq!(glob_matches(glob, text), expected, "{glob} {text}");
        }
    }
}
