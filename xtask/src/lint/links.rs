//! Every relative link of a Markdown file leads to a file, and its anchor to a heading.

use std::path::Path;

use super::Finding;
use super::source::Source;

pub(super) fn check(sources: &[Source], root: &Path) -> Vec<Finding> {
    let documents = sources.iter().filter(|source| source.path.ends_with(".md"));
    documents
        .flat_map(|source| links(&source.text).into_iter().filter_map(|link| broken(source, link, root)))
        .collect()
}

struct Link<'a> {
    offset: usize,
    target: &'a str,
}

/// The targets of `[text](target)` and `[text]: target`, outside of fenced blocks.
fn links(text: &str) -> Vec<Link<'_>> {
    let (mut found, mut offset, mut fenced) = (Vec::new(), 0, false);
    for line in text.split_inclusive('\n') {
        fenced ^= line.trim_start().starts_with("```");
        if !fenced {
            let inline = line.match_indices("](").filter_map(|(at, open)| {
                let rest = &line[at + open.len()..];
                Some((at + open.len(), &rest[..rest.find(')')?]))
            });
            let definition = line.starts_with('[').then(|| line.split_once("]: ")).flatten();
            let definition = definition.map(|(name, target)| (name.len() + "]: ".len(), target.trim_end()));
            let targets = inline.chain(definition);
            found.extend(targets.map(|(at, target)| Link {
                offset: offset + at,
                target: target.split(' ').next().unwrap_or(""),
            }));
        }
        offset += line.len();
    }
    found
}

fn broken(source: &Source, Link { offset, target }: Link<'_>, root: &Path) -> Option<Finding> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let document = root.join(&source.path);
    let file = if path.is_empty() { document } else { document.parent()?.join(path) };
    if !file.exists() {
        return Some(source.finding(offset, format!("`{path}` does not exist")));
    }
    let checkable = !anchor.is_empty() && file.extension().is_some_and(|extension| extension == "md");
    let text = if checkable { std::fs::read_to_string(&file).ok()? } else { return None };
    let missing = !text.lines().any(|line| line.starts_with('#') && slug(line) == anchor);
    missing.then(|| source.finding(offset, format!("`{target}`: no heading of that name")))
}

/// A heading as an anchor: lower case, spaces as dashes, punctuation gone.
fn slug(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars();
    let kept = kept.filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::root;

    fn findings(text: &str) -> Vec<String> {
        let sources = [Source::new("xtask/note.md", text)];
        check(&sources, &root())
            .into_iter()
            .map(|finding| format!("{}: {}", finding.line, finding.message))
            .collect()
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        let text = "see [a](Cargo.toml)\nand [b](gone.md), [c](../gone/)\n\n[d]: missing.md\n";
        assert_eq!(
            findings(text),
            ["2: `gone.md` does not exist", "2: `../gone/` does not exist", "4: `missing.md` does not exist"]
        );
    }

    #[test]
    fn an_anchor_to_no_heading_is_found() {
        assert_eq!(findings("[a](../CONTRIBUTING.md#no-such-thing)").len(), 1);
        assert!(findings("[a](../CONTRIBUTING.md#how-a-change-looks)").is_empty());
    }

    #[test]
    fn links_elsewhere_and_links_in_code_are_fine() {
        assert!(
            findings("[a](https://example.org/x) [b](mailto:x@example.org)\n```\n[c](gone.md)\n```\n")
                .is_empty()
        );
    }

    #[test]
    fn an_anchor_is_made_as_the_hosts_make_it() {
        assert_eq!(slug("## The two commands, `once`"), "the-two-commands-once");
    }
}
