//! Snippets of YAML in the documentation are what the program takes.

use std::fs;

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use snaphook::config::Config;

use crate::docs;

/// The blocks of a page that are marked as YAML.
fn yaml_of(text: &str) -> Vec<String> {
    let (mut blocks, mut block) = (Vec::new(), None::<String>);
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) if &*language == "yaml" => {
                block = Some(String::new());
            }
            Event::Text(text) => {
                if let Some(block) = &mut block {
                    block.push_str(&text);
                }
            }
            Event::End(TagEnd::CodeBlock) => blocks.extend(block.take()),
            _ => {}
        }
    }
    blocks
}

#[test]
fn configurations_in_the_documentation_are_valid() {
    const REALM: &str = "realm: {issuer: 'https://auth.example.com'}\n";
    let mut found = 0;
    for page in ["configuration.md", "security.md"] {
        for yaml in yaml_of(&fs::read_to_string(docs().join(page)).unwrap()) {
            let whole = if yaml.starts_with("realm:") { yaml.clone() } else { format!("{REALM}{yaml}") };
            if let Err(error) = Config::parse(&whole) {
                panic!("{page}: {error}:\n{yaml}");
            }
            found += 1;
        }
    }
    assert!(found >= 2, "only {found}");
}
