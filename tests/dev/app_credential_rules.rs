//! Without an API server the same is refused as with one; see `tests/kubernetes/app_credential_rules.rs`.

use snaphook::crd::check::Checker;

use crate::cases;

#[test]
fn the_verdicts_are_those_of_the_api_server() {
    let checker = Checker::app_credential().unwrap();
    let mut complaints = Vec::new();
    for case in cases::all() {
        let old = case.old("case", "demo");
        let problems = checker.check(&case.object("case", "demo"), old.as_ref());
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(!text.concat().contains("canary"), "{} quotes a value: {text:?}", case.title());
        let verdict = if problems.is_empty() { Ok(()) } else { Err(text.join("; ")) };
        complaints.extend(case.judge(verdict).err());
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
