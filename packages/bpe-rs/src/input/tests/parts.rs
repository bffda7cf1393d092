//! A part of a file is read as a file that holds only that. (Properties; a table of refusals.)

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_part_is_read_in_the_blocks_of_a_file_that_holds_only_that(
        before in text(), text in text(), behind in text(), block_bytes in block_bytes(),
    ) {
        let directory = tempdir().unwrap();
        let start = before.len() as u64;
        for name in ["a.txt", "a.jsonl"] {
            let [before, text, behind] = [&before, &text, &behind].map(|text| match name {
                "a.jsonl" => text.lines().map(row).collect(),
                _ => text.clone(),
            });
            prop_assume!(!text.is_empty());
            let whole = write(&directory, name, [&*before, &text, &behind].concat().as_bytes());
            let alone = write(&directory, &format!("alone-{name}"), text.as_bytes());
            let start = if name == "a.jsonl" { before.len() as u64 } else { start };
            let part = FilePart { path: whole, bytes: Some(start..start + text.len() as u64) };
            let ours = texts_of(&[part], options(block_bytes)).unwrap();
            prop_assert_eq!(ours, texts(&[alone], options(block_bytes)).unwrap());
        }
    }
}

fn row(text: &str) -> String {
    serde_json::json!({ "text": text }).to_string() + "\n"
}

#[test]
fn parts_side_by_side_are_the_file_and_bytes_outside_are_not_looked_at() {
    let directory = tempdir().unwrap();
    let path = write(&directory, "a.txt", b"\xff one two\xffthree\xff");
    let part = |bytes| FilePart {
        path: path.clone(),
        bytes: Some(bytes),
    };
    let parts = [part(1..5), part(5..9), part(10..15)];
    assert_eq!(
        texts_of(&parts, options(100)).unwrap(),
        [" one", " two", "three"]
    );
    let error = texts_of(&[part(5..12)], options(100)).unwrap_err();
    let TrainError::InvalidUtf8 { offset, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(
        offset, 9,
        "a place is counted from the beginning of the file"
    );
}

#[test]
fn an_error_in_a_row_names_its_line_in_the_file() {
    let directory = tempdir().unwrap();
    let path = write(&directory, "a.jsonl", b"{}\n{}\n{\"text\": \"a\"}\n[]\n");
    let part = FilePart {
        path,
        bytes: Some(6..23),
    };
    let error = texts_of(&[part], options(100)).unwrap_err().to_string();
    assert!(error.contains("line 4"), "{error}");
}

#[test]
fn what_is_no_part_is_refused_before_anything_is_read() {
    let directory = tempdir().unwrap();
    let path = write(&directory, "a.txt", b"0123456789");
    let packed = write(&directory, "a.gz", &stored("a.gz", b"0123456789"));
    let empty = write(&directory, "empty", b"");
    #[expect(clippy::reversed_empty_ranges, reason = "they are to be refused")]
    let cases = [
        (&path, 0..11, "it has 10 bytes"),
        (&path, 3..3, "it has 10 bytes"),
        (&path, 4..3, "bytes 4 to 3 of "),
        (&path, 20..30, "it has 10 bytes"),
        (&empty, 0..1, "it has 0 bytes"),
        (&packed, 0..5, "only from its beginning"),
    ];
    for (path, bytes, message) in cases {
        let part = FilePart {
            path: path.clone(),
            bytes: Some(bytes),
        };
        let error = texts_of(&[part], options(100)).unwrap_err();
        assert!(matches!(error, TrainError::NoSuchPart { .. }), "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn a_file_that_grows_or_shrinks_behind_a_part_has_changed() {
    let directory = tempdir().unwrap();
    for size in [5, 50] {
        let path = write(&directory, "a.txt", &b"word ".repeat(4));
        let setting = Setting::new();
        let part = FilePart {
            path: path.clone(),
            bytes: Some(0..10),
        };
        let input = setting.input_of(&[part], options(5)).unwrap();
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(size)
            .unwrap();
        let error = input.reader().next_block().err().unwrap();
        assert!(
            matches!(error, TrainError::FileChanged { expected: 20, .. }),
            "{error}"
        );
    }
}
