//! Compressed files: what is damaged is seen. (Golden: one by the zstd tool; tables.)

use super::*;

/// Written by the `zstd` tool 1.5.4 (`printf 'low low low\nlower lower\n' | zstd -19 --check`).
const BY_ZSTD: &[u8] = b"\x28\xb5\x2f\xfd\x24\x18\xc1\x00\x00\x6c\x6f\x77\x20\x6c\x6f\x77\x20\x6c\x6f\x77\x0a\x6c\x6f\x77\x65\x72\x20\x6c\x6f\x77\x65\x72\x0a\x16\xba\x89\xde";

#[test]
fn a_file_by_the_zstd_tool_is_read() {
    let directory = tempdir().unwrap();
    let path = write(&directory, "a.zst", BY_ZSTD);
    assert_eq!(text_of(&path, 5).unwrap(), "low low low\nlower lower\n");
}

#[test]
fn every_truncation_of_a_compressed_file_is_seen() {
    let directory = tempdir().unwrap();
    let text = "low low lower lowest newer newest ".repeat(3);
    let files = [
        ("a.gz", gz(text.as_bytes())),
        ("a.zst", zst(text.as_bytes())),
    ];
    for (name, stored) in &files {
        for length in 0..stored.len() {
            let path = write(&directory, name, &stored[..length]);
            let error = text_of(&path, 10).unwrap_err();
            let TrainError::Compressed { consumed, .. } = &error else {
                panic!("{name} {length}: {error}")
            };
            assert_eq!(*consumed, length as u64);
        }
    }
}

#[test]
fn no_damage_of_a_compressed_file_changes_the_text_unseen() {
    let directory = tempdir().unwrap();
    let text = "low low lower lowest newer newest ".repeat(3);
    for (name, stored) in [("a.gz", gz(text.as_bytes())), ("a.zst", BY_ZSTD.to_vec())] {
        let sound = text_of(&write(&directory, name, &stored), 10).unwrap();
        for (index, bit) in (0..stored.len()).flat_map(|index| (0..8).map(move |bit| (index, bit)))
        {
            let mut damaged = stored.clone();
            damaged[index] ^= 1 << bit;
            // Some bits, such as those of gzip's time stamp, mean nothing to the text.
            if let Ok(text) = text_of(&write(&directory, name, &damaged), 10) {
                assert_eq!(text, sound, "{name} {index} {bit}");
            }
        }
    }
}

#[test]
fn what_follows_compressed_data_must_be_compressed_data() {
    let directory = tempdir().unwrap();
    for (name, stored) in [("a.gz", gz(b"text")), ("a.zst", zst(b"text"))] {
        let path = write(&directory, name, &[&stored[..], b"rest"].concat());
        let error = text_of(&path, 10).unwrap_err();
        assert!(matches!(error, TrainError::Compressed { .. }), "{error}");
    }
}

#[test]
fn what_a_file_expands_to_is_limited() {
    let directory = tempdir().unwrap();
    for name in ["a.gz", "a.zst", "a.jsonl.gz"] {
        let path = write(&directory, name, &stored(name, &[b' '; 200_000]));
        let mut options = options(100_000);
        options.max_expanded_bytes = Some(199_999);
        let error = texts(std::slice::from_ref(&path), options.clone()).unwrap_err();
        assert!(
            matches!(error, TrainError::ExpandsTooFar { limit: 199_999, .. }),
            "{error}"
        );
        options.max_expanded_bytes = Some(200_000);
        assert!(texts(&[path], options).is_ok());
    }
}
