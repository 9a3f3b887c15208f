use super::*;

/// A directory of its own for a test, gone with it.
struct Directory(tempfile::TempDir);

impl Directory {
    fn with(files: &[(&str, &[u8])]) -> Directory {
        let directory = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        Directory(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

fn read(corpus: Corpus) -> (Vec<Document>, Vec<Skipped>) {
    let (documents, skipped): (Vec<_>, Vec<_>) = corpus.partition(Result::is_ok);
    (
        documents.into_iter().map(Result::unwrap).collect(),
        skipped.into_iter().map(Result::unwrap_err).collect(),
    )
}

#[test]
fn each_first_level_folder_is_a_tenant() {
    let directory = Directory::with(&[
        ("b/notes/plain.txt", b"plain words"),
        ("b/.git/hidden.txt", b"hidden"),
        ("b/picture.png", b"png"),
        ("a/page.html", b"<p>page</p>"),
        ("a/README.md", b"# Title\n\nwords"),
        ("a/code.rs", b"/// Does.\nfn f() {}"),
        ("loose.txt", b"belongs to nobody"),
    ]);
    let (documents, skipped) = read(Corpus::directory(directory.path()).unwrap());
    let found =
        documents.iter().map(|d| (&*d.tenant, &*d.path, &*d.title, &*d.text, d.media)).collect::<Vec<_>>();
    assert_eq!(
        found,
        [
            ("a", "README.md", "Title", "Title\n\nwords", Media::Markdown),
            ("a", "code.rs", "code.rs", "Does.", Media::Rust),
            ("a", "page.html", "page.html", "page", Media::Html),
            ("b", "notes/plain.txt", "notes/plain.txt", "plain words", Media::Text),
        ]
    );
    assert!(skipped.is_empty());
}

#[test]
fn unusable_files_are_named_and_stop_nothing() {
    let huge = vec![b'x'; MAX_BYTES as usize + 1];
    let directory = Directory::with(&[
        ("a/1.txt", b"\xff\xfe"),
        ("a/2.txt", b" \n"),
        ("a/3.txt", &huge),
        ("a/4.rs", b"fn f() {}"),
        ("a/5.txt", b"good"),
    ]);
    let (documents, skipped) = read(Corpus::directory(directory.path()).unwrap());
    assert_eq!(documents.len(), 1);
    let reasons = skipped.iter().map(|s| {
        let name = s.path.file_name().unwrap().to_str().unwrap();
        format!("{name} {}", s.reason)
    });
    assert_eq!(
        reasons.collect::<Vec<_>>(),
        [
            "1.txt is not UTF-8",
            "2.txt is empty",
            "3.txt is huge: 1048577 bytes, more than 1048576",
            "4.rs has no text or documentation comments",
        ]
    );
}

#[test]
fn of_a_crate_the_latest_version_its_readme_and_its_sources_count() {
    let directory = Directory::with(&[
        ("index/md-5-0.9.0/README.md", b"old"),
        ("index/md-5-0.10.6/README.md", b"new"),
        ("index/md-5-0.10.6/CHANGELOG.md", b"changes"),
        ("index/md-5-0.10.6/src/lib.rs", b"//! Hashes."),
        ("index/md-5-0.10.6/tests/it.rs", b"//! Tests."),
        ("mirror/zip-1.0.0-rc.1/readme.txt", b"zips"),
    ]);
    let (documents, _) = read(Corpus::crates(directory.path()).unwrap());
    let found = documents.iter().map(|d| (&*d.tenant, &*d.path, &*d.text)).collect::<Vec<_>>();
    assert_eq!(
        found,
        [("md-5", "README.md", "new"), ("md-5", "src/lib.rs", "Hashes."), ("zip", "readme.txt", "zips")]
    );
}

#[test]
fn a_limit_ends_with_the_document_that_reaches_it() {
    let long = "word ".repeat(200);
    let directory = Directory::with(&[
        ("a/1.txt", long.as_bytes()),
        ("a/2.txt", long.as_bytes()),
        ("a/3.txt", long.as_bytes()),
    ]);
    // Two chunks a document.
    assert_eq!(Corpus::directory(directory.path()).unwrap().up_to(3).count(), 2);
    assert_eq!(Corpus::directory(directory.path()).unwrap().up_to(0).count(), 0);
}

#[test]
fn a_directory_without_folders_is_an_error_that_says_so() {
    let directory = Directory::with(&[("loose.txt", b"words")]);
    let error = Corpus::directory(directory.path()).unwrap_err();
    assert!(error.to_string().ends_with("has no folder that could be a tenant; name another directory"));
}
