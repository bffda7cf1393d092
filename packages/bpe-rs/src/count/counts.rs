//! Counts to keep: merged with others, saved, loaded, given out in order.

use std::fmt;
use std::path::{Path, PathBuf};

use super::entries::Entries;
use super::file::{CutBy, Reader, Saved};
use super::pretoken::Pretoken;
use super::replace::Durability;
use super::runs::{Runs, write_counts};
use super::table::PretokenTable;
use crate::error::TrainError;
use crate::watch::Watch;

/// How often each pretoken of some texts occurs, and what the texts were cut by: all that training
/// needs to know of a corpus.
///
/// Sums of integers: in whatever order and grouping counts are merged, the result is the same, and
/// so are, byte for byte, the files it is saved to.
///
/// ```
/// use bpe_rs::{GPT2_PATTERN, PretokenCounts};
///
/// let directory = std::env::temp_dir();
/// let path = directory.join(format!("doc-example-{}.counts", std::process::id()));
/// let mut counts = PretokenCounts::new(GPT2_PATTERN, &["<|end|>"]);
/// counts.add(b" low", 2)?;
/// counts.save(&path)?;
///
/// counts.merge(PretokenCounts::load(&path)?)?;
/// let mut entries = counts.entries()?;
/// assert_eq!(entries.next_entry()?, Some((b" low" as &[u8], 4)));
/// assert_eq!(entries.next_entry()?, None);
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), bpe_rs::TrainError>(())
/// ```
#[derive(Clone)]
pub struct PretokenCounts {
    cut_by: CutBy,
    // What it holds is the sum of both.
    table: PretokenTable,
    runs: Runs,
}

impl PretokenCounts {
    /// No counts yet, of texts cut at `special_tokens` and then by `pattern`. In what order the
    /// special tokens come does not matter.
    pub fn new<S: AsRef<str>>(pattern: &str, special_tokens: &[S]) -> Self {
        let cut_by = CutBy::new(pattern, special_tokens);
        Self::from_parts(cut_by, PretokenTable::new(), Runs::default())
    }

    pub(super) fn from_parts(cut_by: CutBy, table: PretokenTable, runs: Runs) -> Self {
        Self {
            cut_by,
            table,
            runs,
        }
    }

    /// The pattern that cut the texts into pretokens.
    pub fn pattern(&self) -> &str {
        self.cut_by.pattern()
    }

    /// The special tokens, which no pretoken crosses, in byte order.
    pub fn special_tokens(&self) -> &[String] {
        self.cut_by.special_tokens()
    }

    /// Whether texts were cut at these special tokens.
    pub(crate) fn check_special_tokens(&self, special_tokens: &[String]) -> Result<(), TrainError> {
        self.cut_by
            .check_same(&CutBy::new(self.pattern(), special_tokens))
    }

    /// Counts a pretoken `count` times more. An empty one is left out: it is never merged.
    ///
    /// # Errors
    ///
    /// [`TrainError::CountOverflow`].
    pub fn add(&mut self, pretoken: &[u8], count: u64) -> Result<(), TrainError> {
        if pretoken.is_empty() || count == 0 {
            return Ok(());
        }
        self.table.add(pretoken, count)
    }

    /// Adds the counts of other texts, cut by the same.
    ///
    /// # Errors
    ///
    /// [`TrainError::OtherPattern`] and [`TrainError::OtherSpecialTokens`] change nothing. After
    /// [`TrainError::CountOverflow`], only some of the counts have been added. With counts spilled
    /// to disk, as well [`TrainError::Spill`], [`TrainError::Io`], [`TrainError::DamagedCounts`].
    pub fn merge(&mut self, other: Self) -> Result<(), TrainError> {
        self.merge_watched(other, &Watch::default())
    }

    /// [`PretokenCounts::merge`], or [`TrainError::Interrupted`]: then only some have been added.
    pub(crate) fn merge_watched(&mut self, other: Self, watch: &Watch) -> Result<(), TrainError> {
        self.cut_by.check_same(&other.cut_by)?;
        self.table.merge(other.table)?;
        self.runs.append(other.runs, &self.cut_by, watch)
    }

    /// Saves everything to a file, in the place of what is there.
    ///
    /// The file appears when it is complete and on the disk: whatever happens, `path` stands for
    /// the old file or the new one, whole.
    ///
    /// # Errors
    ///
    /// [`TrainError::Write`]; for counts spilled to disk also those of [`Entries::next_entry`].
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        self.save_watched(path, &Watch::default())
    }

    /// [`PretokenCounts::save`], or [`TrainError::Interrupted`].
    pub(crate) fn save_watched(&self, path: &Path, watch: &Watch) -> Result<(), TrainError> {
        let entries = self.entries_watched(watch)?;
        write_counts(path, Durability::Synced, entries, &self.cut_by, watch)?;
        Ok(())
    }

    /// Loads what was saved, from here or from another machine.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`], [`TrainError::NotCounts`], [`TrainError::CountsVersion`], and
    /// [`TrainError::DamagedCounts`] for a file that is in any way not as it was written.
    pub fn load(path: &Path) -> Result<Self, TrainError> {
        Self::load_watched(path, &Watch::default())
    }

    /// [`PretokenCounts::load`], or [`TrainError::Interrupted`].
    pub(crate) fn load_watched(path: &Path, watch: &Watch) -> Result<Self, TrainError> {
        let mut reader = Reader::open(path)?;
        let mut table = PretokenTable::new();
        let mut pretoken = Pretoken::empty();
        while let Some(count) = reader.next_entry(&mut pretoken)? {
            table.add(pretoken.bytes(), count)?;
            watch.check()?;
        }
        let cut_by = reader.cut_by().clone();
        Ok(Self::from_parts(cut_by, table, Runs::default()))
    }

    /// The sum of files that were saved, which stay where they are: whoever needs the entries reads
    /// the files, again each time, in some 100 KiB of memory for each; all are open at the same time.
    ///
    /// So to learn from it takes the memory of learning, and none for counts. The files must stay as
    /// they are; one that was replaced is an error when it has been read, if its totals are others.
    ///
    /// # Errors
    ///
    /// [`TrainError::NoCounts`]; [`TrainError::OtherPattern`] and [`TrainError::OtherSpecialTokens`] as
    /// merging; for a file's head and end those of [`PretokenCounts::load`]. For what lies between,
    /// whoever reads it has them, and [`TrainError::CountOverflow`].
    pub fn open(paths: &[PathBuf]) -> Result<Self, TrainError> {
        let files = paths.iter().map(|path| Saved::open(path));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let cut_by = files.first().ok_or(TrainError::NoCounts)?.0.clone();
        for (other, _) in &files {
            cut_by.check_same(other)?;
        }
        let runs = Runs::of_saved(files.into_iter().map(|(_, file)| file));
        Ok(Self::from_parts(cut_by, PretokenTable::new(), runs))
    }

    /// Merges files that were saved into one, in the place of what is at `output`: byte for byte the
    /// file that loading, merging and saving would write, without the pretokens that occur less than
    /// `min_count` times in all.
    ///
    /// Memory is some 100 KiB for each file, whatever their size; all are open at the same time. An
    /// error, a file that is damaged at its very end as well, leaves what is at `output` as it is.
    ///
    /// # Errors
    ///
    /// [`TrainError::NoCounts`]; [`TrainError::OtherPattern`], [`TrainError::OtherSpecialTokens`] and
    /// [`TrainError::CountOverflow`] as merging; those of [`PretokenCounts::load`];
    /// [`TrainError::Write`].
    pub fn merge_files(paths: &[PathBuf], output: &Path, min_count: u64) -> Result<(), TrainError> {
        Self::merge_files_watched(paths, output, min_count, &Watch::default())
    }

    /// [`PretokenCounts::merge_files`], or [`TrainError::Interrupted`].
    pub(crate) fn merge_files_watched(
        paths: &[PathBuf],
        output: &Path,
        min_count: u64,
        watch: &Watch,
    ) -> Result<(), TrainError> {
        let readers = paths.iter().map(|path| Reader::open(path));
        let readers = readers.collect::<Result<Vec<_>, _>>()?;
        let cut_by = readers
            .first()
            .ok_or(TrainError::NoCounts)?
            .cut_by()
            .clone();
        for reader in &readers {
            cut_by.check_same(reader.cut_by())?;
        }
        let nothing = PretokenTable::new();
        let entries = Entries::new(&nothing, readers.into_iter().map(Ok), watch)?;
        write_counts(
            output,
            Durability::Synced,
            entries.min_count(min_count),
            &cut_by,
            watch,
        )?;
        Ok(())
    }

    /// All entries in order.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] and [`TrainError::DamagedCounts`] for what was spilled to disk.
    pub fn entries(&self) -> Result<Entries<'_>, TrainError> {
        self.entries_watched(&Watch::default())
    }

    fn entries_watched(&self, watch: &Watch) -> Result<Entries<'_>, TrainError> {
        Entries::new(&self.table, self.runs.readers(), watch)
    }

    /// Calls `visit` with each entry of at least `min_count`, in no certain order: what is all in
    /// memory is not sorted for it.
    pub(crate) fn for_each(
        &self,
        min_count: u64,
        mut visit: impl FnMut(&[u8], u64) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        if self.runs.is_empty() {
            let mut entries = self.table.iter().filter(|&(_, count)| count >= min_count);
            return entries.try_for_each(|(pretoken, count)| visit(pretoken, count));
        }
        let mut entries = self.entries()?.min_count(min_count);
        while let Some((pretoken, count)) = entries.next_entry()? {
            visit(pretoken, count)?;
        }
        Ok(())
    }

    /// Whether both hold the same counts, cut by the same.
    ///
    /// # Errors
    ///
    /// Those of [`Entries::next_entry`].
    pub fn is_equal(&self, other: &Self) -> Result<bool, TrainError> {
        let (mut ours, mut theirs) = (self.entries()?, other.entries()?);
        loop {
            match (ours.next_entry()?, theirs.next_entry()?) {
                (None, None) => return Ok(self.cut_by.check_same(&other.cut_by).is_ok()),
                (ours, theirs) if ours != theirs => return Ok(false),
                _ => (),
            }
        }
    }

    /// How many distinct pretokens there are. Counts spilled to disk are read for it.
    ///
    /// # Errors
    ///
    /// Those of [`Entries::next_entry`].
    pub fn len(&self) -> Result<u64, TrainError> {
        if self.runs.is_empty() {
            return Ok(self.table.len() as u64);
        }
        let mut distinct = 0;
        self.for_each(0, |_, _| {
            distinct += 1;
            Ok(())
        })?;
        Ok(distinct)
    }

    /// How many pretokens there are: the sum of all counts.
    pub fn total(&self) -> u128 {
        let in_memory = self.table.iter().map(|(_, count)| u128::from(count));
        in_memory.sum::<u128>() + self.runs.total()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty() && self.runs.is_empty()
    }
}

impl fmt::Debug for PretokenCounts {
    /// In short: counts may be millions.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PretokenCounts")
            .field("pattern", &self.pattern())
            .field("special_tokens", &self.special_tokens())
            .field("in_memory", &self.table.len())
            .field("runs", &self.runs.len())
            .finish_non_exhaustive()
    }
}
