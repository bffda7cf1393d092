//! JSON lines: each is a text, or an error that names it. (Properties, tables.)

use super::*;

const NAMES: [&str; 4] = ["a.jsonl", "a.NDJSON", "a.jsonl.gz", "a.ndjson.zst"];

fn json_lines(texts: &[String], line_end: &str) -> String {
    let line = |text: &String| {
        let text = serde_json::to_string(text).unwrap();
        format!("{{\"id\": [{{\"text\": 1}}], \"text\": {text}, \"more\": null}}{line_end}")
    };
    texts.iter().map(line).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn each_json_line_is_a_text(
        lines in prop::collection::vec("[a \"\\\\é\u{1f600}\n\r\t\0]{0,9}", 0..30),
        block_bytes in block_bytes(),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\n\n \t\r\n"]),
        is_last_ended: bool,
        has_mark: bool,
    ) {
        let directory = tempdir().unwrap();
        let mut file = json_lines(&lines, line_end);
        file.truncate(if is_last_ended { file.len() } else { file.trim_end().len() });
        if has_mark {
            file.insert(0, '\u{feff}');
        }
        for name in NAMES {
            let path = write(&directory, name, &stored(name, file.as_bytes()));
            prop_assert_eq!(texts(&[path], options(block_bytes)).unwrap(), lines.as_slice());
        }
    }
}

#[test]
fn json_that_gives_no_text_is_told_by_line() {
    let table = [
        (
            "{\"text\": \"a\"",
            "line 4, column 12: EOF while parsing an object; each line must",
        ),
        ("{\"text\": \"\\ud800\"}", "line 4, column 17: "),
        (
            "{\"text\": \"a\"} {}",
            "line 4, column 15: trailing characters; each line must",
        ),
        ("text", "line 4, column 2: expected ident; each line must"),
        (
            "[]",
            "line 4: invalid type: sequence, expected an object; each line must be an object",
        ),
        (
            "{\"text\": null}",
            "line 4: invalid type: null, expected a string; each line must",
        ),
        (
            "{\"text\": [\"a\"]}",
            "line 4: invalid type: sequence, expected a string; each line",
        ),
        (
            "{\"text\": \"\", \"text\": \"\"}",
            "line 4: the field stands there twice; each line",
        ),
        (
            "{}",
            "line 4: there is no field \"text\", only []; text_field names",
        ),
        (
            "{\"b\": {}, \"a\": 1}",
            "line 4: there is no field \"text\", only [\"a\", \"b\"];",
        ),
    ];
    let directory = tempdir().unwrap();
    for (line, message) in table {
        let good = "{\"text\": \"a\"}\n";
        let lines = format!("{good}\r\n{good}{line}\n{good}");
        for (name, block_bytes) in ["a.jsonl", "a.jsonl.gz"].into_iter().zip([1, 13, 30, 1000]) {
            let path = write(&directory, name, &stored(name, lines.as_bytes()));
            let error = text_of(&path, block_bytes).unwrap_err().to_string();
            assert!(error.contains(&format!("{name}, {message}")), "{error}");
        }
    }
}

#[test]
fn every_truncation_of_json_lines_is_seen_or_ends_with_a_line() {
    let directory = tempdir().unwrap();
    let lines = json_lines(&["a\n".to_owned(), "é".to_owned()], "\n");
    let ends = [0, 1].map(|index| lines.match_indices('\n').nth(index).unwrap().0);
    for length in 0..lines.len() {
        let path = write(&directory, "a.jsonl", &lines.as_bytes()[..length]);
        let is_whole = [0, ends[0], ends[0] + 1, ends[1]].contains(&length);
        assert_eq!(text_of(&path, 10).is_ok(), is_whole, "{length}");
    }
}

#[test]
fn a_line_is_only_so_long() {
    let directory = tempdir().unwrap();
    for (extra, block_bytes) in [0, 1]
        .into_iter()
        .flat_map(|n| [1, 40, 1000, 9000].map(|b| (n, b)))
    {
        let text = "é".repeat(2500) + &"a".repeat(extra);
        let lines = json_lines(&["".to_owned(), text.clone(), "b".to_owned()], "\n");
        for name in ["a.jsonl", "a.jsonl.gz"] {
            let path = write(&directory, name, &stored(name, lines.as_bytes()));
            let mut options = options(block_bytes);
            options.max_line_bytes = lines.lines().nth(1).unwrap().len() - extra;
            match texts(&[path], options) {
                Ok(texts) => assert_eq!(
                    (texts, extra),
                    (vec!["".into(), text.clone(), "b".into()], 0)
                ),
                Err(TrainError::LineTooLong { line, .. }) => assert_eq!((line, extra), (2, 1)),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn another_field_may_hold_the_text() {
    let directory = tempdir().unwrap();
    let path = write(
        &directory,
        "a.jsonl",
        b"{\"text\": 1, \"\\u0063ontent\": \"a\"}",
    );
    let mut options = options(10);
    options.text_field = "content".to_owned();
    assert_eq!(texts(&[path], options).unwrap(), ["a"]);
}
