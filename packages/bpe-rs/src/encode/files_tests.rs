//! Files against the encoding of their texts. (Properties: any blocks, any threads, any start.)

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tempfile::tempdir;

use crate::{
    BpeEncoder, CL100K_PATTERN, EncodedBlock, FilePart, FilesEncoder, GPT2_PATTERN, O200K_PATTERN,
    Pattern, TokenIds, TrainError,
};

const PATTERNS: [&str; 4] = [GPT2_PATTERN, CL100K_PATTERN, O200K_PATTERN, r"\w+|\s+"];
/// Each could be the beginning, the end or the middle of another.
const SPECIAL: [&str; 6] = ["<|a|>", "<|a|><|a|>", "|a|>", "a", " é", "é\u{3000}<"];
const ENDINGS: [&str; 6] = ["txt", "gz", "zst", "jsonl", "ndjson.gz", "jsonl.zst"];
/// That of `<|a|>`.
const SEPARATOR: u32 = 1000;
/// Text with merges, special tokens and characters of several bytes.
const TEXT: &str = "[<|a>bé' \n\u{3000}l]{0,60}";

fn encoder(pattern: &str, first_special: u32) -> BpeEncoder {
    let vocab = (0..).zip((0..=u8::MAX).map(|byte| vec![byte]).chain([b"bb".to_vec()]));
    let special = SPECIAL.map(str::to_owned).into_iter();
    let special: Vec<_> = special.zip(first_special..).collect();
    let encoder = BpeEncoder::new(vocab, &[(b"b", b"b")], &special).unwrap();
    encoder.pattern(Pattern::new(pattern).unwrap())
}

fn is_rows(ending: &str) -> bool {
    ending.contains("json")
}

/// A file with these texts: one a line, or one after the other.
fn write(path: &Path, texts: &[String]) {
    let name = path.to_str().unwrap();
    let lines = texts
        .iter()
        .map(|text| serde_json::json!({ "text": text }).to_string() + "\n");
    let content: String = match is_rows(name) {
        true => lines.collect(),
        false => texts.concat(),
    };
    let stored = match path.extension().unwrap().to_str().unwrap() {
        "gz" => {
            let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
            gz.write_all(content.as_bytes()).unwrap();
            gz.finish().unwrap()
        }
        "zst" => compress_to_vec(content.as_bytes(), CompressionLevel::Fastest),
        _ => content.into_bytes(),
    };
    fs::write(path, stored).unwrap();
}

/// What [`FilesEncoder`] is to give, by definition.
fn expected(
    encoder: &BpeEncoder,
    files: &[(&str, Vec<String>)],
    separates_files: bool,
) -> Vec<u32> {
    let mut expected = Vec::new();
    for (ending, texts) in files {
        let (texts, separates) = match is_rows(ending) {
            true => (texts.clone(), true),
            false => (vec![texts.concat()], separates_files),
        };
        for text in texts {
            let token_ids = encoder.encode(&text).unwrap();
            let is_ended = token_ids.last() == Some(&SEPARATOR);
            expected.extend(token_ids);
            expected.extend((separates && !is_ended).then_some(SEPARATOR));
        }
    }
    expected
}

fn wide(token_ids: &TokenIds) -> Vec<u32> {
    match token_ids {
        TokenIds::Narrow(ids) => ids.iter().map(|&id| id.into()).collect(),
        TokenIds::Wide(ids) => ids.clone(),
    }
}

fn ids_of(blocks: &[EncodedBlock]) -> Vec<u32> {
    blocks
        .iter()
        .flat_map(|block| wide(&block.token_ids))
        .collect()
}

fn blocks(encoder: &FilesEncoder<'_>, paths: &[PathBuf]) -> Result<Vec<EncodedBlock>, TrainError> {
    let mut blocks = Vec::new();
    encoder.encode(paths, |block| {
        blocks.push(block);
        Ok(())
    })?;
    Ok(blocks)
}

fn files() -> impl Strategy<Value = Vec<(&'static str, Vec<String>)>> {
    vec((select(&ENDINGS[..]), vec(TEXT, 0..4)), 0..4)
}

proptest! {
    #[test]
    fn files_give_the_ids_of_their_texts_on_any_threads_in_any_blocks_from_any_block_on(
        files in files(),
        pattern in select(&PATTERNS[..]),
        block_bytes in 1..100_usize,
        num_threads in 1..4_usize,
        separates_files: bool,
        start: prop::sample::Index,
    ) {
        let directory = tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..).zip(&files).map(|(number, (ending, texts))| {
            let path = directory.path().join(format!("{number}.{ending}"));
            write(&path, texts);
            path
        }).collect();
        let bpe = encoder(pattern, SEPARATOR);
        let new = || FilesEncoder::new(&bpe)
            .num_threads(num_threads)
            .block_bytes(block_bytes)
            .row_separator(Some(SEPARATOR))
            .file_separator(separates_files.then_some(SEPARATOR));
        let whole = blocks(&new(), &paths).unwrap();
        let expected = expected(&bpe, &files, separates_files);
        prop_assert_eq!(ids_of(&whole), expected);
        for block in &whole {
            let separators = block.separators.len() * SPECIAL[0].len();
            let bytes: usize = wide(&block.token_ids).iter().map(|&id| match id {
                0..=255 => 1,
                256 => 2,
                _ => SPECIAL[(id - SEPARATOR) as usize].len(),
            }).sum();
            prop_assert_eq!(bytes - separators, block.byte_count as usize);
        }
        if !whole.is_empty() {
            let (_, rest) = whole.split_at(start.index(whole.len()));
            let again = new().first_block(rest[0].block);
            let mut again = blocks(&again, &paths[rest[0].file..]).unwrap();
            again.iter_mut().for_each(|block| block.file += rest[0].file);
            // A file's end may stand in a block of its own, which does not know what was before.
            if !rest[0].token_ids.is_empty() {
                prop_assert_eq!(&again[..], rest);
            }
        }
    }
}

#[test]
fn parts_of_a_file_give_its_ids_if_they_meet_where_nothing_crosses() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("a.txt");
    let text = ["bbé", "<|a|>", "b é b", "<|a|>", "'b b"].concat();
    fs::write(&path, &text).unwrap();
    let encoder = encoder(GPT2_PATTERN, SEPARATOR);
    let border = text.find("<|a|>").unwrap() as u64 + 5;
    let part = |bytes| FilePart {
        path: path.clone(),
        bytes: Some(bytes),
    };
    let parts = [part(0..border), part(border..text.len() as u64)];
    let mut ours = Vec::new();
    FilesEncoder::new(&encoder)
        .block_bytes(3)
        .encode_parts(&parts, |block| {
            ours.push(block);
            Ok(())
        })
        .unwrap();
    assert_eq!(ids_of(&ours), encoder.encode(&text).unwrap());
    assert_eq!(
        ours.iter().map(|block| block.byte_count).sum::<u64>(),
        text.len() as u64
    );
}

#[test]
fn ids_take_two_bytes_where_all_fit_and_four_where_one_does_not() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("text.txt");
    fs::write(&path, "bb<|a|>").unwrap();
    for (first_special, ids) in [
        (65_530, TokenIds::Narrow(vec![256, 65_530])),
        (65_531, TokenIds::Wide(vec![256, 65_531])),
    ] {
        let bpe = encoder(GPT2_PATTERN, first_special);
        let found = blocks(&FilesEncoder::new(&bpe), std::slice::from_ref(&path)).unwrap();
        assert_eq!(found[0].token_ids, ids);
    }
}

#[test]
fn of_several_errors_the_first_in_the_text_is_told() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("bad.txt");
    let mut text = b"ab ".repeat(1000);
    (text[900], text[1500], text[2950]) = (0xff, 0xff, 0xff);
    fs::write(&path, text).unwrap();
    let bpe = encoder(GPT2_PATTERN, SEPARATOR);
    for num_threads in [1, 2, 4] {
        let encoder = FilesEncoder::new(&bpe)
            .block_bytes(50)
            .num_threads(num_threads);
        let error = blocks(&encoder, std::slice::from_ref(&path)).unwrap_err();
        assert!(
            matches!(error, TrainError::InvalidUtf8 { offset: 900, .. }),
            "{error}"
        );
    }
}

#[test]
fn who_takes_the_blocks_can_end_it() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("text.txt");
    fs::write(&path, "ab ".repeat(100_000)).unwrap();
    let bpe = encoder(GPT2_PATTERN, SEPARATOR);
    let mut taken = 0;
    let ended = FilesEncoder::new(&bpe)
        .block_bytes(100)
        .num_threads(3)
        .encode(&[path], |_| {
            taken += 1;
            Err(TrainError::Interrupted)
        });
    assert!(matches!(ended, Err(TrainError::Interrupted)));
    assert_eq!(taken, 1);
}
