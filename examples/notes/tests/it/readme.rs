//! The taste in the README is this service.

#[test]
fn the_readme_shows_this_code() {
    let read =
        |path: &str| std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let source = ["src/note.rs", "src/digest.rs"].map(read).concat();
    let readme = read("../../README.md");
    let shown: Vec<&str> =
        readme.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(shown.len(), 2);
    for code in shown {
        assert!(source.contains(code), "not in examples/notes:\n{code}");
    }
}
