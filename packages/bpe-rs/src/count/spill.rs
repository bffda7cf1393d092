//! Counting in bounded memory: tables that grow too large go to disk, sorted.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::counts::PretokenCounts;
use super::entries::Entries;
use super::file::CutBy;
use super::runs::{RunDirectory, Runs};
use super::table::PretokenTable;
use crate::error::TrainError;
use crate::watch::Watch;

/// How much larger than it is a table can make the memory: while it grows to the double, old and
/// new stand side by side; grown, it may be sorted, which takes about two thirds of itself.
const TABLE_PEAK: usize = 3;

/// What threads share that count into tables of their own.
pub(crate) struct Spill {
    cut_by: CutBy,
    /// Where a directory for the runs is made, when the first one comes.
    parent: PathBuf,
    max_table_bytes: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    directory: Option<Arc<RunDirectory>>,
    runs: Runs,
}

impl Spill {
    /// For `num_threads` tables that take, all together, about `max_memory_bytes`; without it, none
    /// is ever spilled. `parent` is where runs may be written, or the system's temporary directory.
    pub(crate) fn new(
        cut_by: CutBy,
        max_memory_bytes: Option<usize>,
        num_threads: usize,
        parent: Option<&Path>,
    ) -> Self {
        let shares = num_threads.max(1).saturating_mul(TABLE_PEAK);
        Self {
            cut_by,
            parent: parent.map_or_else(std::env::temp_dir, Path::to_owned),
            max_table_bytes: max_memory_bytes.map_or(usize::MAX, |bytes| bytes / shares),
            state: Mutex::default(),
        }
    }

    /// Spills a table that has grown beyond its share. To be asked after each block of text.
    ///
    /// # Errors
    ///
    /// As [`Spill::spill`].
    pub(crate) fn relieve(
        &self,
        table: &mut PretokenTable,
        watch: &Watch,
    ) -> Result<(), TrainError> {
        if table.memory_bytes() <= self.max_table_bytes {
            return Ok(());
        }
        self.spill(table, watch)
    }

    /// Writes a table as a run and empties it. Threads sort and write at the same time.
    ///
    /// # Errors
    ///
    /// [`TrainError::Spill`] if something could not be written: the runs so far stay on disk, and the
    /// table is as it was or has become one of them. [`TrainError::Interrupted`], and for runs that cannot be read back
    /// [`TrainError::Io`] and [`TrainError::DamagedCounts`]; these leave nothing on disk.
    pub(crate) fn spill(&self, table: &mut PretokenTable, watch: &Watch) -> Result<(), TrainError> {
        if table.is_empty() {
            return Ok(());
        }
        let written = self.directory().and_then(|directory| {
            let entries = Entries::new(table, [], watch)?;
            directory.write(entries, &self.cut_by, watch)
        });
        let run = written.map_err(|error| self.state().runs.keep(error))?;
        *table = PretokenTable::new();
        self.state().runs.push(run, &self.cut_by, watch)
    }

    /// All that was counted: what was spilled, and what is left in the threads' tables.
    ///
    /// # Errors
    ///
    /// [`TrainError::CountOverflow`].
    pub(crate) fn finish(
        self,
        tables: impl IntoIterator<Item = PretokenTable>,
    ) -> Result<PretokenCounts, TrainError> {
        let state = self.state.into_inner();
        let runs = state.unwrap_or_else(PoisonError::into_inner).runs;
        let mut sum = PretokenTable::new();
        tables.into_iter().try_for_each(|table| sum.merge(table))?;
        Ok(PretokenCounts::from_parts(self.cut_by, sum, runs))
    }

    fn directory(&self) -> Result<Arc<RunDirectory>, TrainError> {
        let mut state = self.state();
        match &state.directory {
            Some(directory) => Ok(Arc::clone(directory)),
            None => {
                let directory = RunDirectory::create(&self.parent)?;
                Ok(Arc::clone(state.directory.insert(directory)))
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked while pushing a run has left the list as it was before or after.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
