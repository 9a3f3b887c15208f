//! The story of the README, as a shell runs it.

use std::process::Command;

use crate::client::start;

#[tokio::test(flavor = "multi_thread")]
async fn the_story_of_the_readme_is_true() {
    let app = start().await;
    let readme = include_str!("../../README.md");
    let story = readme.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let story = story.replace("http://127.0.0.1:8080", &app.url());
    let run = tokio::task::spawn_blocking(|| {
        Command::new("bash").args(["-euo", "pipefail", "-c"]).arg(story).output()
    });
    let run = run.await.unwrap().unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{said}\n{wrong}");
    for told in [
        r#""roles":["owner"]"#,
        "users:manage is granted by the role owner",
        "bob@acme.example",
        r#""active":true"#,
        "client.authenticated",
        r#""status":401"#,
    ] {
        assert!(said.contains(told), "{told} in:\n{said}");
    }
}
