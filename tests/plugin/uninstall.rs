//! `uninstall --check`: what would hang or be lost. That something is done is shown with the chart.

use crate::site::{FAILED, NO, Site, USAGE};

#[tokio::test]
async fn what_would_hang_and_what_would_be_lost_is_listed() {
    let site = Site::new("uninstall").await;
    site.ready("lost", "{}").await;
    site.ready("kept", "{deletionPolicy: Retain}").await;
    let done = site.snaphook_with(&["uninstall", "--check", "-o", "json"], &[]);
    assert_eq!(done.code, NO, "{done:?}");
    let json = done.json();
    let names = |list: &str| -> Vec<String> {
        let here = json[list].as_array().unwrap().iter().filter(|named| named["namespace"] == site.namespace.as_str());
        here.map(|named| named["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("wouldHang"), ["kept", "lost"]);
    assert_eq!(names("wouldBeLost"), ["lost-credential"]);
    assert_eq!(names("wouldStay"), ["kept-credential"]);
    assert_eq!(json["otherDefinitions"].as_array().unwrap().len(), 3);
    let text = site.snaphook_with(&["uninstall", "--check"], &[]).ended(NO);
    assert!(text.contains(&format!("  Secret {}/lost-credential\n", site.namespace)), "{text}");
    site.snaphook_with(&["uninstall", "--check", "--purge"], &[]).ended(USAGE);
    let nowhere = site.snaphook_with(&["uninstall", "--yes"], &[]).ended(FAILED);
    assert!(nowhere.contains("0 Deployments in namespace snaphook-system"), "{nowhere}");
}
