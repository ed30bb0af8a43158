//! A directory that somebody else has filled: it neither stops `snaphook dev` nor steers the terminal, nor has anything run.

use std::{fs, os::unix::fs::symlink, process::Command};

use crate::laptop::{Laptop, command, copy_of};

const BILLING: &str = include_str!("../../examples/quickstart/billing.yaml");

#[tokio::test]
async fn what_is_no_regular_file_is_refused_by_name_and_the_others_count() {
    let directory = copy_of("hostile-files", "quickstart");
    let outside = directory.with_extension("outside.yaml");
    fs::write(&outside, BILLING.replace("billing", "outside")).unwrap();
    symlink(&outside, directory.join("link.yaml")).unwrap();
    symlink("/dev/zero", directory.join("device.yaml")).unwrap();
    assert!(Command::new("mkfifo").arg(directory.join("pipe.yaml")).status().unwrap().success());
    let laptop = Laptop::on(&directory).await;
    for (file, why) in [
        ("link.yaml", "cannot be read: it is a symbolic link: put the file itself there"),
        ("device.yaml", "cannot be read: it is a symbolic link"),
        ("pipe.yaml", "cannot be read: it is no regular file"),
    ] {
        laptop.says(&["Refused", file, why]).await;
    }
    assert_eq!(laptop.token("demo/billing-credential")["token_type"], "Bearer");
    // One that comes later is refused as well, and a signal ends it all the same.
    assert!(Command::new("mkfifo").arg(directory.join("later.yaml")).status().unwrap().success());
    laptop.says(&["Refused", "later.yaml"]).await;
    assert!(laptop.stop().await.success());
}

#[tokio::test]
async fn a_state_that_a_checkout_brought_is_not_used() {
    let directory = copy_of("hostile-state", "quickstart");
    let outside = directory.with_extension("outside");
    let _ = fs::remove_dir_all(&outside);
    fs::create_dir_all(&outside).unwrap();
    fs::create_dir(directory.join(".snaphook")).unwrap();
    for inside in ["secrets", "records", "status", "queue"] {
        symlink(&outside, directory.join(".snaphook").join(inside)).unwrap();
    }
    let output = command(&directory, "127.0.0.1:0", "none").output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains(".snaphook was not made by snaphook dev"), "{error}");
    assert!(error.contains("delete it or move it away"), "{error}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[tokio::test]
async fn a_configuration_that_is_a_pipe_ends_it_with_a_word() {
    let directory = copy_of("hostile-configuration", "quickstart");
    assert!(Command::new("mkfifo").arg(directory.join("snaphook-config.yaml")).status().unwrap().success());
    let output = command(&directory, "127.0.0.1:0", "none").output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("snaphook-config.yaml"), "{error}");
    assert!(error.contains("it is no regular file"), "{error}");
}

#[tokio::test]
async fn names_and_values_cannot_steer_the_terminal_or_forge_a_line() {
    let evil = "a\x1b[31m\n12:00:00  Forged          \u{9b}2J\u{202e}";
    // YAML takes controls in no other form.
    let quoted = r#""a\u001b[31m\n12:00:00  Forged          \u009b2J\u202e""#;
    let files = [
        (format!("{evil}.yaml"), BILLING.to_owned()),
        (format!("{evil}-broken.yaml"), "a: [".to_owned()),
        ("kind.yaml".to_owned(), format!("{{apiVersion: v1, kind: {quoted}, metadata: {{name: {quoted}}}}}")),
        ("name.yaml".to_owned(), BILLING.replace("billing", quoted)),
        ("field.yaml".to_owned(), format!("{}  {quoted}: 1\n", BILLING.replace("billing", "other"))),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
    let laptop = Laptop::with("hostile-names", &files).await;
    laptop.says(&["Ignored"]).await;
    laptop.says(&["Refused", "-broken.yaml"]).await;
    laptop.says(&["Refused", "name.yaml"]).await;
    laptop.says(&["Refused", "field.yaml"]).await;
    laptop.save("billing.yaml", &BILLING.replace("billing", "billing2"));
    laptop.says(&["Created", "demo/billing2"]).await;
    let output = laptop.output();
    let steers = |char: char| char.is_control() && char != '\n' || matches!(char, '\u{202a}'..='\u{202e}');
    assert!(!output.contains(steers), "{output:?}");
    assert!(!output.lines().any(|line| line.starts_with("12:00:00  Forged")), "{output}");
    assert!(!output.contains("echo '  revoked: true'"), "a path that is not shown as it is cannot be pasted: {output}");
    assert!(laptop.stop().await.success());
}

#[tokio::test]
async fn a_url_that_a_shell_would_run_is_refused() {
    let directory = copy_of("hostile-url", "quickstart");
    for url in ["http://x;id;", "http://$(id)", "http://`id`", "http://{curl,evil}"] {
        let config = format!("realm: {{issuer: '{url}'}}\n");
        fs::write(directory.join("snaphook-config.yaml"), config).unwrap();
        let output = command(&directory, "127.0.0.1:0", "none").output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains("realm.issuer"), "{url}: {error}");
    }
}
