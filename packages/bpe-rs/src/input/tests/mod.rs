//! What a reader gives against the texts that the files were made from.

mod blocks;
mod compressed;
mod files;
mod jsonl;
mod memory;
mod parts;
#[cfg(unix)]
mod pipes;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use flate2::Compression as GzLevel;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use proptest::sample::select;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tempfile::{TempDir, tempdir};

use super::*;
use crate::pattern::Pattern;
use crate::pretokenize::pretokenize;
use crate::special::{Segment, SpecialTokens};

/// Parts of one another, and some with white space inside.
const SPECIAL: [&str; 5] = ["<|>", "<|><|>", "b\na", "  b", "é|"];
const PARTS: [&str; 12] = [
    "a", "b", " ", " ", "\n", "\r", "é", "'s", "\u{3000}", "<", "|", ">",
];
const ENDINGS: [&str; 4] = ["txt", "gz", "zst", "bin"];

/// Long enough to be cut where only the front is read, with stretches without special tokens.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![15 => select(&PARTS[..]), 1 => select(&SPECIAL[..])];
    prop::collection::vec(part, 0..500).prop_map(|parts| parts.concat())
}

fn block_bytes() -> impl Strategy<Value = usize> {
    prop_oneof![1..9_usize, 9..200_usize]
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), GzLevel::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

/// The bytes as a file with that name holds them, in two members or frames if it is compressed,
/// with a frame to be skipped between them.
fn stored(name: &str, bytes: &[u8]) -> Vec<u8> {
    let (head, tail) = bytes.split_at(bytes.len() / 3);
    match name.rsplit('.').next() {
        Some("gz") => [gz(head), gz(tail)].concat(),
        Some("zst") => [&zst(head)[..], b"\x53\x2a\x4d\x18\x02\0\0\0!?", &zst(tail)].concat(),
        _ => bytes.to_vec(),
    }
}

fn write(directory: &TempDir, name: &str, stored: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, stored).unwrap();
    path
}

fn options(block_bytes: usize) -> FileOptions {
    FileOptions {
        block_bytes,
        ..FileOptions::default()
    }
}

/// What holds an input together in a test.
struct Setting {
    special: SpecialTokens,
    watch: Watch,
}

impl Setting {
    fn new() -> Self {
        Self::with(&SPECIAL)
    }

    fn with(special: &[&str]) -> Self {
        Self {
            special: SpecialTokens::new(special).unwrap(),
            watch: Watch::default(),
        }
    }

    fn input(&self, paths: &[PathBuf], options: FileOptions) -> Result<Input<'_>, TrainError> {
        let parts: Vec<_> = paths.iter().map(FilePart::from).collect();
        self.input_of(&parts, options)
    }

    fn input_of(&self, parts: &[FilePart], options: FileOptions) -> Result<Input<'_>, TrainError> {
        let cuts = TextCuts {
            is_cut: &|text, at| Pattern::default().is_cut(text, at),
            special: &self.special,
        };
        Input::files(parts, options, cuts, 1, &self.watch)
    }
}

/// All texts of all blocks, in the order in which one thread sees them.
fn texts(paths: &[PathBuf], options: FileOptions) -> Result<Vec<String>, TrainError> {
    let parts: Vec<_> = paths.iter().map(FilePart::from).collect();
    texts_of(&parts, options)
}

fn texts_of(parts: &[FilePart], options: FileOptions) -> Result<Vec<String>, TrainError> {
    let setting = Setting::new();
    let input = setting.input_of(parts, options)?;
    let (mut texts, mut bytes_read) = (Vec::new(), 0);
    let mut reader = input.reader();
    while let Some(block) = reader.next_block()? {
        block.for_each_text(|text| {
            texts.push(text.to_owned());
            Ok(())
        })?;
        bytes_read += block.bytes_read();
    }
    assert_eq!(bytes_read, input.total_bytes(), "progress ends at its end");
    Ok(texts)
}

fn text_of(path: &Path, block_bytes: usize) -> Result<String, TrainError> {
    texts(&[path.to_owned()], options(block_bytes)).map(|texts| texts.concat())
}

type Counts = BTreeMap<String, usize>;

fn count(setting: &Setting, text: &str, counts: &mut Counts) {
    for segment in setting.special.split(text) {
        if let Segment::Text(text) = segment {
            for pretoken in pretokenize(text) {
                *counts.entry(pretoken.to_owned()).or_default() += 1;
            }
        }
    }
}

/// The pretokens of the texts, counted on several threads.
fn counts(setting: &Setting, paths: &[PathBuf], block_bytes: usize, num_threads: usize) -> Counts {
    let input = setting.input(paths, options(block_bytes)).unwrap();
    let sum = Mutex::new(Counts::new());
    let count_blocks = || {
        let mut reader = input.reader();
        while let Some(block) = reader.next_block().unwrap() {
            let add = |text: &str| {
                count(setting, text, &mut sum.lock().unwrap());
                Ok(())
            };
            block.for_each_text(add).unwrap();
        }
    };
    thread::scope(|scope| (0..num_threads).for_each(|_| drop(scope.spawn(count_blocks))));
    sum.into_inner().unwrap()
}

fn counts_of_whole(setting: &Setting, texts: &[String]) -> Counts {
    let mut counts = Counts::new();
    for text in texts {
        count(setting, text, &mut counts);
    }
    counts
}
