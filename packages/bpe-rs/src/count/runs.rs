//! Runs: sorted counts in temporary files, merged so that there are never many.

use std::fs::{self, DirBuilder};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::entries::Entries;
use super::file::{CutBy, Reader, Saved, Totals, Writer};
use super::replace::{Durability, create_fresh, fresh_name, replace, write_error};
use super::table::PretokenTable;
use crate::error::TrainError;
use crate::watch::Watch;

/// So many runs of a level become one of the next. A million runs are then at most 124 files, which
/// the strictest usual limit (256 open files) allows to be read at once, and each entry was
/// written four times.
const FAN_IN: usize = 32;

/// A temporary directory of runs. It goes with its last run, unless something went wrong.
#[derive(Debug)]
pub(super) struct RunDirectory {
    path: PathBuf,
    is_kept: AtomicBool,
    /// The process that made it: a child made by fork has a copy of all this, and must not tidy up
    /// what its parent still reads.
    owner: u32,
}

impl RunDirectory {
    /// Readable for this user alone, where the system can do that: it holds parts of texts.
    pub(super) fn create(parent: &Path) -> Result<Arc<Self>, TrainError> {
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let created = create_fresh(parent, "pretoken-counts-", "", |path| builder.create(path));
        let (path, ()) = created.map_err(|error| write_error(parent, error))?;
        Ok(Arc::new(Self {
            path,
            is_kept: AtomicBool::new(false),
            owner: std::process::id(),
        }))
    }

    fn is_temporary(&self) -> bool {
        self.owner == std::process::id() && !self.is_kept.load(Ordering::Relaxed)
    }

    /// Writes a run; an error leaves no part of it.
    pub(super) fn write(
        self: &Arc<Self>,
        entries: Entries<'_>,
        cut_by: &CutBy,
        watch: &Watch,
    ) -> Result<Run, TrainError> {
        let path = self.path.join(fresh_name("run-", ".counts"));
        let totals = write_counts(&path, Durability::Lazy, entries, cut_by, watch)?;
        Ok(Run {
            path,
            totals,
            directory: Arc::clone(self),
        })
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if self.is_temporary() {
            let _ = fs::remove_dir(&self.path); // its runs removed themselves before
        }
    }
}

/// A file in a temporary directory, removed when it is no longer needed.
#[derive(Debug)]
pub(super) struct Run {
    path: PathBuf,
    totals: Totals,
    directory: Arc<RunDirectory>,
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.directory.is_temporary() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Writes entries to a file of counts, which appears when it is complete.
pub(super) fn write_counts(
    path: &Path,
    durability: Durability,
    mut entries: Entries<'_>,
    cut_by: &CutBy,
    watch: &Watch,
) -> Result<Totals, TrainError> {
    replace(path, durability, |file| {
        let mut writer = Writer::new(file, path, cut_by)?;
        while let Some((pretoken, count)) = entries.next_watched(watch)? {
            writer.push(pretoken, count)?;
        }
        writer.finish()
    })
}

/// What is counted, but not in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    /// Each run of a level was made of `FAN_IN` of the level before.
    levels: Vec<Vec<Arc<Run>>>,
    /// Files of the user's, which are only read.
    saved: Vec<Arc<Saved>>,
}

impl Runs {
    pub(super) fn of_saved(saved: impl IntoIterator<Item = Saved>) -> Self {
        Self {
            levels: Vec::new(),
            saved: saved.into_iter().map(Arc::new).collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sum of all counts.
    pub(super) fn total(&self) -> u128 {
        let saved = self.saved.iter().map(|file| file.totals());
        let totals = self.iter().map(|run| run.totals).chain(saved);
        totals.map(|totals| totals.total).sum()
    }

    pub(super) fn len(&self) -> usize {
        self.iter().count() + self.saved.len()
    }

    /// Readers of all runs.
    pub(super) fn readers(&self) -> impl Iterator<Item = Result<Reader<fs::File>, TrainError>> {
        let saved = self.saved.iter().map(|file| file.reader());
        self.iter().map(|run| Reader::open(&run.path)).chain(saved)
    }

    pub(super) fn push(
        &mut self,
        run: Run,
        cut_by: &CutBy,
        watch: &Watch,
    ) -> Result<(), TrainError> {
        self.push_at(0, Arc::new(run), cut_by, watch)
    }

    /// Takes over all of `other`, each run at its level.
    pub(super) fn append(
        &mut self,
        other: Self,
        cut_by: &CutBy,
        watch: &Watch,
    ) -> Result<(), TrainError> {
        self.saved.extend(other.saved);
        for (level, runs) in other.levels.into_iter().enumerate() {
            for run in runs {
                self.push_at(level, run, cut_by, watch)?;
            }
        }
        Ok(())
    }

    /// What to say of an error: a file that could not be written keeps all others from removal.
    pub(super) fn keep(&self, error: TrainError) -> TrainError {
        let TrainError::Write { path, source } = error else {
            return error;
        };
        let mut kept = Vec::new();
        for run in self.iter() {
            run.directory.is_kept.store(true, Ordering::Relaxed);
            if !kept.contains(&run.directory.path) {
                kept.push(run.directory.path.clone());
            }
        }
        TrainError::Spill { path, kept, source }
    }

    fn iter(&self) -> impl Iterator<Item = &Run> {
        self.levels.iter().flatten().map(Arc::as_ref)
    }

    fn push_at(
        &mut self,
        level: usize,
        run: Arc<Run>,
        cut_by: &CutBy,
        watch: &Watch,
    ) -> Result<(), TrainError> {
        let directory = Arc::clone(&run.directory);
        let mut run = Some(run);
        for level in level.. {
            if self.levels.len() <= level {
                self.levels.resize_with(level + 1, Vec::new);
            }
            self.levels[level].extend(run.take());
            if self.levels[level].len() < FAN_IN {
                break;
            }
            let merged = merge_runs(&self.levels[level], &directory, cut_by, watch);
            run = Some(Arc::new(merged.map_err(|error| self.keep(error))?));
            self.levels[level].clear();
        }
        Ok(())
    }
}

fn merge_runs(
    runs: &[Arc<Run>],
    directory: &Arc<RunDirectory>,
    cut_by: &CutBy,
    watch: &Watch,
) -> Result<Run, TrainError> {
    let nothing = PretokenTable::new();
    let readers = runs.iter().map(|run| Reader::open(&run.path));
    let entries = Entries::new(&nothing, readers, watch)?;
    directory.write(entries, cut_by, watch)
}
