//! Files that cannot be read, change, or hold no text. (Tables.)

use std::fs::OpenOptions;

use super::*;

#[test]
fn the_first_invalid_byte_is_told_exactly() {
    let directory = tempdir().unwrap();
    let text = "aé bé  <|>\ncé ";
    // Enough that what can be read only from the front is cut before.
    let long = "é ".repeat(200);
    let names = ["a.txt", "a.gz", "a.zst"];
    let files = names.map(|name| [(name, ""), (name, &long)]).concat();
    let places = (0..=text.len()).filter(|&at| text.is_char_boundary(at));
    for (at, block_bytes) in places.flat_map(|at| [1, 2, 3, 7, 50].map(|size| (at, size))) {
        // Never valid, a continuation alone, and a character cut short.
        for bad in [&b"\xff"[..], b"\xa9", b"\xe3\x80"] {
            let (head, tail) = text.as_bytes().split_at(at);
            for (name, before) in &files {
                let bytes = [before.as_bytes(), head, bad, tail].concat();
                let path = write(&directory, name, &stored(name, &bytes));
                let error = text_of(&path, block_bytes).unwrap_err();
                let TrainError::InvalidUtf8 { offset, .. } = error else {
                    panic!("{error}")
                };
                let expected = before.len() + at;
                assert_eq!(offset, expected as u64, "{name} {block_bytes} {bad:?}");
            }
        }
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    let directory = tempdir().unwrap();
    // Compressed data that shrinks is a matter of chance: its end may have been read before.
    let text: String = (0..60_000).map(|number| format!("{number} ")).collect();
    for (name, new_size) in [
        ("a", 0),
        ("a", 1_000),
        ("a", 10_000_000),
        ("a.gz", 10_000_000),
    ] {
        let path = write(&directory, name, &stored(name, text.as_bytes()));
        let size = fs::metadata(&path).unwrap().len();
        let setting = Setting::new();
        let input = setting
            .input(std::slice::from_ref(&path), options(20_000))
            .unwrap();
        let mut reader = input.reader();
        assert!(reader.next_block().unwrap().is_some());
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(new_size).unwrap();
        let error = loop {
            match reader.next_block() {
                Ok(block) => assert!(block.is_some(), "{name} {new_size}"),
                Err(error) => break error,
            }
        };
        match error {
            TrainError::FileChanged { expected, .. } => assert_eq!(expected, size),
            // Zeros where the next member should begin.
            TrainError::Compressed { .. } => assert_eq!(name, "a.gz"),
            other => panic!("{name} {new_size}: {other}"),
        }
        assert!(
            reader.next_block().unwrap().is_none(),
            "an error is the end"
        );
    }
}

#[test]
fn all_files_are_looked_at_before_any_is_read() {
    let directory = tempdir().unwrap();
    let present = write(&directory, "a", b"text");
    let missing = directory.path().join("missing.gz");
    for bad in [missing, directory.path().to_owned()] {
        let error = texts(&[present.clone(), bad.clone()], options(10)).unwrap_err();
        assert!(matches!(error, TrainError::Io { path, .. } if path == bad));
    }
}

#[test]
fn reading_ends_when_it_is_interrupted() {
    let directory = tempdir().unwrap();
    for name in ["a.txt", "a.gz", "a.zst"] {
        let path = write(&directory, name, &stored(name, &b"word ".repeat(1_000)));
        let setting = Setting::new();
        let input = setting.input(&[path], options(100)).unwrap();
        let mut reader = input.reader();
        assert!(reader.next_block().unwrap().is_some());
        setting.watch.interrupt();
        assert!(matches!(reader.next_block(), Err(TrainError::Interrupted)));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_the_system_makes_up_is_read_though_its_size_is_0() {
    let path = PathBuf::from("/proc/version");
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    let (setting, mut read) = (Setting::new(), String::new());
    let input = setting
        .input(std::slice::from_ref(&path), options(10))
        .unwrap();
    let mut reader = input.reader();
    while let Some(block) = reader.next_block().unwrap() {
        block
            .for_each_text(|text| {
                read += text;
                Ok(())
            })
            .unwrap();
    }
    assert_eq!(read, fs::read_to_string(path).unwrap());
}

#[test]
fn what_is_packed_in_a_way_that_is_not_read_is_refused_at_once() {
    let directory = tempdir().unwrap();
    for name in ["a.txt.bz2", "A.XZ", "a.zip", "a.tar.gz"] {
        let path = write(&directory, name, b"text");
        let error = text_of(&path, 9).unwrap_err();
        assert!(matches!(error, TrainError::UnknownFormat { .. }), "{error}");
    }
}
