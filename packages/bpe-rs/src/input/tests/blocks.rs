//! Blocks of any size, of every kind of file, hold the whole text. (Properties.)

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn blocks_of_any_size_on_any_threads_count_what_the_whole_counts(
        texts in prop::collection::vec(text(), 1..5),
        block_bytes in block_bytes(),
        num_threads in 1..5_usize,
    ) {
        let directory = tempdir().unwrap();
        let path = |(index, text): (usize, &String)| {
            let name = format!("{index}.{}", ENDINGS[(index + block_bytes) % ENDINGS.len()]);
            write(&directory, &name, &stored(&name, text.as_bytes()))
        };
        let paths: Vec<_> = texts.iter().enumerate().map(path).collect();
        let setting = Setting::new();
        let ours = counts(&setting, &paths, block_bytes, num_threads);
        prop_assert_eq!(ours, counts_of_whole(&setting, &texts));
    }

    #[test]
    fn blocks_concatenate_to_the_text(text in text(), block_bytes in block_bytes()) {
        let directory = tempdir().unwrap();
        for name in ENDINGS.map(|ending| format!("text.{ending}")) {
            let path = write(&directory, &name, &stored(&name, text.as_bytes()));
            prop_assert_eq!(text_of(&path, block_bytes).unwrap(), text.as_str());
        }
    }
}

#[test]
fn blocks_stay_small_where_spaces_or_special_tokens_allow_it() {
    let directory = tempdir().unwrap();
    for text in ["wörd\r\n", "word<|>", "é "].map(|part| part.repeat(1000)) {
        for name in ["a.txt", "a.gz"] {
            let path = write(&directory, name, &stored(name, text.as_bytes()));
            let texts = texts(&[path], options(100)).unwrap();
            // A compressed file's last block holds what was read to find a cut that is not needed.
            let (last, others) = texts.split_last().unwrap();
            assert!(others.iter().all(|text| text.len() <= 120), "{name}");
            assert!(last.len() <= 100 || name == "a.gz");
            assert_eq!(texts.concat(), text);
        }
    }
}

#[test]
fn a_text_without_any_cut_is_one_block() {
    let directory = tempdir().unwrap();
    for name in ["a.txt", "a.gz", "a.zst"] {
        let text = "é".repeat(300_000);
        let path = write(&directory, name, &stored(name, text.as_bytes()));
        assert_eq!(texts(&[path], options(100)).unwrap(), [text]);
    }
}

#[test]
fn files_without_text_are_read_too() {
    let directory = tempdir().unwrap();
    let names = ["a", "a.jsonl", "a.gz", "a.zst", "a.jsonl.zst"];
    let paths = names.map(|name| write(&directory, name, &stored(name, b"")));
    assert_eq!(texts(&paths, options(100)).unwrap(), [] as [&str; 0]);
    assert_eq!(texts(&[], options(100)).unwrap(), [] as [&str; 0]);
}

#[test]
fn special_tokens_that_overlap_are_found_as_from_the_beginning() {
    let directory = tempdir().unwrap();
    let setting = Setting::with(&["ab", "bc", "ca"]);
    for length in 60..66 {
        // Found from an odd place on, the chain has other tokens and another end.
        let chain: String = "abc".chars().cycle().take(length).collect();
        let texts = [chain + "dd ee " + &"f".repeat(400)];
        for (name, block_bytes) in [("a", 1), ("a", 2), ("a", 61), ("a.gz", 1), ("a.gz", 2)] {
            let path = write(&directory, name, &stored(name, texts[0].as_bytes()));
            let ours = counts(&setting, &[path], block_bytes, 1);
            assert_eq!(ours, counts_of_whole(&setting, &texts), "{length} {name}");
        }
    }
}
