//! Plain text out of marked-up text.

use html2text::render::TrivialDecorator;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::Media;

/// Wide enough that no line is wrapped: chunks are cut later, where sentences end.
const HTML_WIDTH: usize = 10_000;

pub(super) struct Plain {
    pub(super) text: String,
    /// The first heading, where there is one.
    pub(super) heading: Option<String>,
}

pub(super) fn plain(source: &str, media: Media) -> Plain {
    match media {
        Media::Text => Plain { text: source.trim().to_owned(), heading: None },
        Media::Markdown => markdown(source),
        Media::Html => Plain { text: html(source), heading: None },
        Media::Rust => {
            let blocks = doc_comments(source).into_iter().map(|block| markdown(&block).text);
            let blocks = blocks.filter(|block| !block.is_empty()).collect::<Vec<_>>();
            Plain { text: blocks.join("\n\n"), heading: None }
        }
    }
}

fn html(source: &str) -> String {
    let config = html2text::config::with_decorator(TrivialDecorator::new()).raw_mode(true);
    // What the parser refuses has no text that could be shown.
    config
        .string_from_read(source.as_bytes(), HTML_WIDTH)
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// The words without markup, HTML and pictures; code is kept.
fn markdown(source: &str) -> Plain {
    let mut text = String::new();
    let mut heading = None;
    let mut heading_start = 0;
    let mut pictures = 0;
    for event in Parser::new_ext(source, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Image { .. }) => pictures += 1,
            Event::End(TagEnd::Image) => pictures -= 1,
            Event::Start(Tag::Heading { .. }) => heading_start = text.len(),
            Event::Text(words) | Event::Code(words) if pictures == 0 => text.push_str(&words),
            Event::SoftBreak | Event::End(TagEnd::TableCell) => text.push(' '),
            Event::HardBreak | Event::End(TagEnd::Item | TagEnd::TableRow | TagEnd::TableHead) => {
                text.push('\n')
            }
            Event::End(TagEnd::Heading(_)) => {
                heading = heading.or_else(|| Some(text[heading_start..].trim().to_owned()));
                text.push_str("\n\n");
            }
            Event::End(TagEnd::Paragraph | TagEnd::CodeBlock | TagEnd::List(_) | TagEnd::Table) => {
                text.push_str("\n\n");
            }
            _ => {}
        }
    }
    Plain { text: text.trim().to_owned(), heading: heading.filter(|heading| !heading.is_empty()) }
}

/// Each run of documentation comments: `//!`, `///`, `/*! */` and `/** */`.
///
/// It goes by the beginnings of lines and does not parse Rust: a line of a string literal that begins like such a
/// comment counts as one.
fn doc_comments(source: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block = String::new();
    let mut lines = source.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if let Some(words) = line_comment(line) {
            push_line(&mut block, words);
            continue;
        }
        // Anything else ends a run of line comments.
        blocks.push(std::mem::take(&mut block));
        if let Some(first) = block_comment(line) {
            blocks.push(block_text(first, &mut lines));
        }
    }
    blocks.push(block);
    blocks.retain(|block| !block.trim().is_empty());
    blocks
}

/// The text of a block comment whose first line goes on with `first`; takes the lines up to its end or the file's.
fn block_text<'a>(first: &'a str, lines: &mut impl Iterator<Item = &'a str>) -> String {
    let mut block = String::new();
    let mut line = Some(first);
    while let Some(words) = line {
        if let Some((last, _)) = words.split_once("*/") {
            push_line(&mut block, last);
            break;
        }
        push_line(&mut block, words);
        // Only the star in front of a line is decoration; that of the closing `*/` is not.
        line = lines
            .next()
            .map(|next| next.strip_prefix('*').filter(|rest| !rest.starts_with('/')).unwrap_or(next));
    }
    block
}

fn line_comment(line: &str) -> Option<&str> {
    // Four slashes are a ruled line, not documentation.
    line.strip_prefix("//!").or_else(|| line.strip_prefix("///").filter(|rest| !rest.starts_with('/')))
}

fn block_comment(line: &str) -> Option<&str> {
    line.strip_prefix("/*!").or_else(|| line.strip_prefix("/**").filter(|rest| !rest.starts_with(['*', '/'])))
}

/// The space after the comment sign is not part of the text; indentation beyond it is.
fn push_line(block: &mut String, words: &str) {
    block.push_str(words.strip_prefix(' ').unwrap_or(words));
    block.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_loses_its_markup_and_keeps_its_words_and_code() {
        let plain = markdown(
            "![build](b.svg)\n# The *title*\n\nA [link](x) to\n`code`.\n\n- one\n- two\n\n<b>bold</b>\n\n```\nlet x;\n```\n",
        );
        assert_eq!(plain.heading.as_deref(), Some("The title"));
        assert_eq!(plain.text, "The title\n\nA link to code.\n\none\ntwo\n\n\nbold\n\nlet x;");
    }

    #[test]
    fn html_loses_its_tags_scripts_and_entities() {
        let text = html(
            "<html><head><title>t</title><script>var x;</script></head><body><h1>A &amp; b</h1><p>Words <i>there</i>.</p></body></html>",
        );
        assert_eq!(text, "A & b\n\nWords there.");
    }

    #[test]
    fn doc_comments_of_every_form_are_found_and_others_are_not() {
        let source = "//! Front.\n//! Page.\n\n// aside\n/// Item.\nfn f() {} /// not at the start\n//// ruled\n\
            /** One. */\n/*!\n * Two,\n * three.\n */\n/* plain */\n/**/\n/*** starred ***/\n    /// In.\n    /// ```\n    ///  code\n";
        assert_eq!(
            doc_comments(source),
            ["Front.\nPage.\n", "Item.\n", "One. \n", "\nTwo,\nthree.\n\n", "In.\n```\n code\n"]
        );
    }

    #[test]
    fn an_unclosed_comment_ends_with_its_file() {
        assert_eq!(doc_comments("/** One.\n * Two."), ["One.\nTwo.\n"]);
    }
}
