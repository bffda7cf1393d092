//! How fast each stage is, in bytes of text a second: `cargo bench`, or `cargo bench split`.
//!
//! On generated text with a few frequent words and many rare ones, as in prose. `BPE_BENCH_FILE`
//! names a real text to use in its place.

#![expect(clippy::expect_used, reason = "a benchmark may stop where it stands")]

use std::hint::black_box;

use bpe_rs::{
    BpeEncoder, Counter, PretokenCounts, Trainer, Vocabulary, count_distinct, pretokenize,
    split_counters,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const BYTES: usize = 4 << 20;
const VOCAB_SIZE: usize = 4096;

/// Numbers without a dependency (Steele et al. 2014, SplitMix64).
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn word(&mut self) -> String {
        let length = 1 + self.below(9);
        (0..length)
            .map(|_| char::from(b"etaoinshrdlucmfwyp"[self.below(18)]))
            .collect()
    }
}

fn generated_text() -> String {
    let mut draw = SplitMix(0);
    let words: Vec<String> = (0..30_000).map(|_| draw.word()).collect();
    let ends = [" ", " ", " ", " ", ", ", ". ", "\n", "'s "];
    let mut text = String::with_capacity(BYTES + 16);
    while text.len() < BYTES {
        // Dividing by a random number makes small ranks frequent.
        let rank = words.len() / (1 + draw.below(words.len()));
        text.push_str(&words[(rank + draw.below(200)) % words.len()]);
        text.push_str(ends[draw.below(ends.len())]);
    }
    text
}

fn text() -> String {
    match std::env::var_os("BPE_BENCH_FILE") {
        Some(path) => std::fs::read_to_string(path).expect("BPE_BENCH_FILE names a UTF-8 file"),
        None => generated_text(),
    }
}

fn trainer() -> Trainer {
    let counter = Counter::new(&[] as &[&str]).expect("no special token is wrong");
    Trainer::with_counter(VOCAB_SIZE, counter.num_threads(1))
}

fn count(text: &str) -> PretokenCounts {
    let counts = trainer().counter().count_texts(&[text]);
    counts.expect("any text can be counted")
}

fn encoder(learned: &Vocabulary) -> BpeEncoder {
    let token = |id: u32| learned.tokens[id as usize].as_slice();
    let merges: Vec<_> = learned
        .merges
        .iter()
        .map(|&(l, r)| (token(l), token(r)))
        .collect();
    let vocab = (0..).zip(learned.tokens.clone());
    BpeEncoder::new(vocab, &merges, &[]).expect("what was learned fits together")
}

fn stages(criterion: &mut Criterion) {
    let text = text();
    let counts = count(&text);
    let learned = trainer().train(&counts).expect("there is text");
    // Equal first, then fast: the tokens must be the text again.
    let ids = encoder(&learned)
        .encode(&text)
        .expect("GPT-2's pattern needs no engine");
    let decoded: Vec<&[u8]> = ids
        .iter()
        .map(|&id| &learned.tokens[id as usize][..])
        .collect();
    assert_eq!(decoded.concat(), text.as_bytes());

    let mut group = criterion.benchmark_group("stages");
    group
        .sample_size(10)
        .throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("split, as defined", |bencher| {
        bencher.iter(|| pretokenize(black_box(&text)).count())
    });
    for (instructions, split) in split_counters() {
        assert_eq!(split(&text), pretokenize(&text).count());
        group.bench_function(format!("split, {instructions}"), |bencher| {
            bencher.iter(|| split(black_box(&text)));
        });
    }
    let ends: Vec<usize> = pretokenize(&text)
        .scan(0, |end, pretoken| {
            *end += pretoken.len();
            Some(*end)
        })
        .collect();
    group.bench_function("count", |bencher| {
        bencher.iter(|| count_distinct(black_box(&text), black_box(&ends)));
    });
    group.bench_function("split and count", |bencher| {
        bencher.iter(|| count(black_box(&text)))
    });
    group.bench_function("merge", |bencher| {
        bencher.iter(|| trainer().train(black_box(&counts)));
    });
    group.bench_function("encode, cold cache", |bencher| {
        bencher.iter_with_setup(
            || encoder(&learned),
            |encoder| encoder.encode(black_box(&text)),
        );
    });
    let warm = encoder(&learned);
    warm.encode(&text).expect("as before");
    group.bench_function("encode, warm cache", |bencher| {
        bencher.iter(|| warm.encode(black_box(&text)));
    });
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
