//! Texts in memory. (Tables.)

use super::*;

#[test]
fn texts_in_memory_come_as_they_are() {
    let batches = [
        vec![Text::Str("é".into()), Text::Bytes(b"b"[..].into())],
        vec![],
        vec![Text::Bytes(b"b\xc3"[..].into())],
    ];
    let watch = Watch::default();
    let input = Input::texts(batches.into_iter().map(Ok), &watch);
    let mut reader = input.reader();
    let block = reader.next_block().unwrap().unwrap();
    let mut texts = Vec::new();
    block
        .for_each_text(|text| {
            texts.push(text.to_owned());
            Ok(())
        })
        .unwrap();
    assert_eq!(
        (texts, block.bytes_read()),
        (vec!["é".to_owned(), "b".to_owned()], 3)
    );
    assert_eq!(reader.next_block().unwrap().unwrap().bytes_read(), 0);
    let error = reader
        .next_block()
        .unwrap()
        .unwrap()
        .for_each_text(|_| Ok(()))
        .unwrap_err();
    assert!(matches!(
        error,
        TrainError::InvalidUtf8Text {
            index: 2,
            offset: 1
        }
    ));
    assert!(
        input.reader().next_block().unwrap().is_none(),
        "no thread goes on after an error"
    );
}

#[test]
fn an_iterator_that_fails_is_not_asked_again() {
    let mut asked = 0;
    let watch = Watch::default();
    let input = Input::texts(
        std::iter::from_fn(|| {
            asked += 1;
            Some(Err(TrainError::NoText))
        }),
        &watch,
    );
    assert!(input.reader().next_block().is_err());
    assert!(input.reader().next_block().unwrap().is_none());
    drop(input);
    assert_eq!(asked, 1);
}

#[test]
fn batches_hold_every_text_once() {
    for text in ["", "a", &"a".repeat(100_000)] {
        let texts = vec![text; 1000];
        let batches = batches_of(&texts).map(Result::unwrap);
        let lengths: Vec<_> = batches.flatten().map(|text| text.len()).collect();
        assert_eq!(lengths, vec![text.len(); 1000]);
    }
}
