//! Chunks a second: `cargo run -p embedder --example throughput`, with a number of chunks if you like.
//!
//! The chunks are cut from a page of English, about 500 characters each, every one from another word on.

#![allow(clippy::print_stdout, reason = "it is a program, and its figures are its output")]

use std::{env, error::Error, time::Instant};

use embedder::MiniLm;

/// A page of English to cut chunks from.
const PAGE: &str = include_str!("page.txt");
const CHUNK: usize = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let wanted = env::args().nth(1).map_or(Ok(512), |count| count.parse())?;
    let words: Vec<&str> = PAGE.split_whitespace().collect();
    let chunks: Vec<String> = (0..wanted).map(|start| chunk(&words, start)).collect();
    let texts: Vec<&str> = chunks.iter().map(String::as_str).collect();

    let started = Instant::now();
    let model = MiniLm::fetch()?;
    println!("loaded in {:?}", started.elapsed());

    for batch in [1, 32, texts.len()] {
        let started = Instant::now();
        for texts in texts.chunks(batch.max(1)) {
            model.embed(texts)?;
        }
        let seconds = started.elapsed().as_secs_f64();
        println!("{:>4} texts a call: {:.1} chunks a second", batch, texts.len() as f64 / seconds);
    }
    Ok(())
}

/// About [`CHUNK`] characters of the page, from another word each time.
fn chunk(words: &[&str], start: usize) -> String {
    let mut chunk = String::new();
    for word in words.iter().cycle().skip(start * 7 % words.len()) {
        if chunk.len() + word.len() > CHUNK {
            break;
        }
        chunk.push_str(word);
        chunk.push(' ');
    }
    chunk
}
