//! Every example can be applied as its first lines say.

use std::fs;

const CRDS: &str = include_str!("../../crds/snaphook.dev.yaml");

#[tokio::test]
async fn every_example_is_applied() {
    let plane = control_plane::shared().await.unwrap();
    plane.install_crds(CRDS).await.unwrap();
    let namespace = plane.namespace("examples").await.unwrap();
    let mut count = 0;
    for entry in fs::read_dir("examples").unwrap() {
        let example = entry.unwrap().path();
        let command = format!("kubectl apply -f {}", example.display());
        for file in fs::read_dir(&example).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            assert!(text.starts_with("# ") && text.contains(&command), "{command} is not in:\n{text}");
            assert!(!text.contains("revoked: false"), "an example states what Argo CD would restore");
        }
        // The quickstart says which namespace it is for; the others lie where the user is.
        let path = example.to_str().unwrap();
        let here: &[&str] = if path.ends_with("quickstart") { &[] } else { &["-n", &namespace] };
        let arguments = [&["apply", "-f", path, "--validate=strict"], here].concat();
        let output = plane.kubectl(&arguments).await.unwrap().success().unwrap();
        assert!(output.contains("appcredential.snaphook.dev/"), "{output}");
        count += 1;
    }
    assert!(count >= 4);
}
