//! All pairs that are worth watching, found by going through all places.

use super::pairs::{PairIndex, Pairs};
use super::tally::{NOWHERE, Tally};
use super::threshold::Threshold;
use super::tokens::{SEPARATOR, Symbol, SymbolPair, Tokens};
use super::words::{BLOCK, Run};
use crate::error::TrainError;
use crate::watch::Watch;

/// The separator and the bytes.
const BYTE_SYMBOLS: usize = 257;
/// The sketch has about one cell for so many places, within these bounds (in bits).
const PLACES_PER_CELL: usize = 8;
const SKETCH_BITS: (u32, u32) = (10, 24);

/// The places as they are now, to be gone through from the first to the last.
pub(super) struct Places<'a> {
    pub(super) symbols: &'a [Symbol],
    pub(super) runs: &'a [Run],
    pub(super) tokens: &'a Tokens,
    pub(super) watch: &'a Watch,
    pub(super) few: usize,
}

/// The pairs that bytes form, which an array can count.
pub(super) fn byte_pairs(
    places: &Places,
    threshold: &mut Threshold,
    merges: usize,
) -> Result<Pairs, TrainError> {
    let length = |_| 1;
    let cell_of = |(left, right)| Some(left as usize * BYTE_SYMBOLS + right as usize);
    let mut cells = vec![Tally::default(); BYTE_SYMBOLS * BYTE_SYMBOLS];
    places.count(&mut cells, length, cell_of)?;
    let total = cells
        .iter()
        .fold(0_u64, |sum, cell| sum.saturating_add(cell.count));
    threshold.lower(total, merges);
    let symbol = |index: usize| index as Symbol;
    let pairs = (0..cells.len()).map(|at| (symbol(at / BYTE_SYMBOLS), symbol(at % BYTE_SYMBOLS)));
    let pairs = places.keep(pairs, &mut cells, threshold)?;
    places.note(pairs, &mut cells, length, cell_of)
}

/// The pairs that tokens form, of which there may be too many to count each.
///
/// So they are counted twice: at first in few cells, each for many pairs, which tells for most
/// pairs that they are too rare; then the others.
pub(super) fn token_pairs(
    places: &Places,
    threshold: &mut Threshold,
    merges: usize,
) -> Result<Pairs, TrainError> {
    let length = |symbol| places.tokens.length(symbol);
    let sketch = Sketch::new(places, length)?;
    threshold.lower(sketch.total(), merges);
    let mut frequent = Pairs::new(0, 0);
    let mut cells = Vec::new();
    places.for_each_pair(length, |pair, _, _| {
        if sketch.at_most(pair) >= threshold.count && frequent.find(pair).is_none() {
            frequent.add(pair, 0, 0, places.watch)?;
            cells.push(Tally::default());
        }
        Ok(())
    })?;
    drop(sketch);
    let cell_of = |pair| frequent.find(pair).map(|index| index as usize);
    places.count(&mut cells, length, cell_of)?;
    let pairs = (0..cells.len()).map(|index| frequent.pair(index as PairIndex));
    let pairs = places.keep(pairs, &mut cells, threshold)?;
    places.note(pairs, &mut cells, length, cell_of)
}

impl Places<'_> {
    fn count(
        &self,
        cells: &mut [Tally],
        length: impl Fn(Symbol) -> u32,
        cell_of: impl Fn(SymbolPair) -> Option<usize>,
    ) -> Result<(), TrainError> {
        self.for_each_pair(length, |pair, _, count| {
            if let Some(cell) = cell_of(pair).and_then(|at| cells.get_mut(at)) {
                let sum = cell.count.checked_add(count);
                cell.count = sum.ok_or(TrainError::CountOverflow)?;
                cell.places += 1;
            }
            Ok(())
        })
    }

    /// Makes room for the places of those pairs that the threshold admits.
    fn keep(
        &self,
        pairs: impl Iterator<Item = SymbolPair> + Clone,
        cells: &mut [Tally],
        threshold: &Threshold,
    ) -> Result<Pairs, TrainError> {
        for (pair, cell) in pairs.clone().zip(&mut *cells) {
            let bytes = self.tokens.length(pair.0) + self.tokens.length(pair.1);
            if !threshold.admits(pair, cell.count, bytes) {
                cell.places = 0;
            }
        }
        let total = cells.iter().map(|cell| cell.places).sum();
        let mut kept = Pairs::new(total, self.few);
        for (pair, cell) in pairs.zip(cells) {
            self.watch.check()?;
            cell.places = match cell.places {
                0 => NOWHERE,
                places => kept.add(pair, cell.count, places, self.watch)?,
            };
        }
        kept.plan_sweep();
        Ok(kept)
    }

    fn note(
        &self,
        mut pairs: Pairs,
        cells: &mut [Tally],
        length: impl Fn(Symbol) -> u32,
        cell_of: impl Fn(SymbolPair) -> Option<usize>,
    ) -> Result<Pairs, TrainError> {
        let noted = pairs.places_mut();
        self.for_each_pair(length, |pair, place, _| {
            if let Some(cell) = cell_of(pair).and_then(|at| cells.get_mut(at))
                && cell.places != NOWHERE
            {
                noted[cell.places] = place;
                cell.places += 1;
            }
            Ok(())
        })?;
        Ok(pairs)
    }

    /// Calls `act` with each pair, the place of its left token, and how often that place counts.
    #[inline]
    fn for_each_pair(
        &self,
        length: impl Fn(Symbol) -> u32,
        mut act: impl FnMut(SymbolPair, u32, u64) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let (mut left, mut left_at, mut at) = (SEPARATOR, 0, 1);
        for run in self.runs {
            while at < run.end {
                self.watch.check()?;
                let stop = run.end.min(at.saturating_add(BLOCK as u32));
                while at < stop {
                    let symbol = self.symbols[at as usize];
                    if left != SEPARATOR && symbol != SEPARATOR {
                        act((left, symbol), left_at, run.count)?;
                    }
                    (left, left_at) = (symbol, at);
                    at += length(symbol);
                }
            }
        }
        Ok(())
    }
}

/// Counts that are never too small: those of all pairs that share a cell, added.
struct Sketch {
    cells: Vec<u64>,
    shift: u32,
}

impl Sketch {
    fn new(places: &Places, length: impl Fn(Symbol) -> u32) -> Result<Self, TrainError> {
        let bits = (places.symbols.len() / PLACES_PER_CELL).max(1).ilog2();
        let bits = bits.clamp(SKETCH_BITS.0, SKETCH_BITS.1);
        let mut sketch = Self {
            cells: vec![0; 1 << bits],
            shift: u64::BITS - bits,
        };
        places.for_each_pair(length, |pair, _, count| {
            let cell = sketch.cell(pair);
            sketch.cells[cell] = sketch.cells[cell].saturating_add(count);
            Ok(())
        })?;
        Ok(sketch)
    }

    fn cell(&self, (left, right): SymbolPair) -> usize {
        let pair = u64::from(left) << 32 | u64::from(right);
        (pair.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    fn at_most(&self, pair: SymbolPair) -> u64 {
        self.cells[self.cell(pair)]
    }

    fn total(&self) -> u64 {
        self.cells
            .iter()
            .fold(0, |sum, &cell| sum.saturating_add(cell))
    }
}
