//! `BpeEncoder.encode_files`.

use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;

use super::watched::{Attendant, watched};
use crate::input::{Input, Place, batches_of};
use crate::{EncodedBlock, FilePart, FilesEncoder, TokenIds, TrainError};

/// How long signal handlers may have to wait for a block.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(20);

/// `EncodedBlock` for Python.
#[pyclass(frozen, get_all, name = "EncodedBlock", module = "bpe_rs._core")]
pub(super) struct PyEncodedBlock {
    token_ids: Py<PyAny>,
    byte_count: u64,
    separators: Py<PyAny>,
    file: usize,
    block: u64,
}

impl PyEncodedBlock {
    fn new(py: Python<'_>, block: EncodedBlock) -> Self {
        let separators: Vec<i64> = block.separators.iter().map(|&at| at as i64).collect();
        Self {
            token_ids: match block.token_ids {
                TokenIds::Narrow(ids) => ids.into_pyarray(py).into_any().unbind(),
                TokenIds::Wide(ids) => ids.into_pyarray(py).into_any().unbind(),
            },
            byte_count: block.byte_count,
            separators: separators.into_pyarray(py).into_any().unbind(),
            file: block.file,
            block: block.block,
        }
    }
}

/// Encodes files in their order: those that Rust reads, and those that pyarrow does.
pub(super) struct FilesToPython<'a, 'py> {
    pub(super) py: Python<'py>,
    /// Makes the encoder of the blocks from so many on of the first file.
    pub(super) encoder: &'a dyn Fn(u64) -> FilesEncoder<'a>,
    pub(super) text_field: &'a str,
    pub(super) take: &'a Bound<'py, PyAny>,
}

impl FilesToPython<'_, '_> {
    /// All of `paths`, but for the first blocks of the first of them.
    pub(super) fn encode(&self, parts: &[FilePart], mut first_block: u64) -> PyResult<()> {
        let mut first_file = 0;
        for run in parts.chunk_by(|left, right| !is_table(left) && !is_table(right)) {
            match run {
                [table] if is_table(table) => {
                    check_whole(run)?;
                    self.encode_table(&table.path, first_file, first_block)?;
                }
                _ => self.encode_run(run, first_file, first_block)?,
            }
            first_file += run.len();
            first_block = 0;
        }
        Ok(())
    }

    fn encode_run(&self, parts: &[FilePart], first_file: usize, first_block: u64) -> PyResult<()> {
        let encoder = (self.encoder)(first_block);
        let is_cut = encoder.is_cut();
        let input = self.py.detach(|| encoder.input(parts, &is_cut))?;
        let mut ends = encoder.ends();
        self.encode_input(&encoder, &input, |place, block| EncodedBlock {
            file: first_file + place.file,
            ..ends.finish(place, block)
        })
    }

    /// A Parquet file, some rows at a time: each time as many batches as they make.
    fn encode_table(&self, path: &Path, file: usize, first_block: u64) -> PyResult<()> {
        let encoder = (self.encoder)(0);
        let read_texts = self.py.import("bpe_rs._parquet")?.getattr("read_texts")?;
        let mut done = 0;
        for rows in read_texts.call1((path, self.text_field))?.try_iter()? {
            let rows: Vec<PyBackedStr> = rows?.extract()?;
            let num_batches = batches_of(&rows).count() as u64;
            let skipped = first_block.saturating_sub(done).min(num_batches);
            let watch = encoder.watch();
            let input = Input::texts(batches_of(&rows).skip(skipped as usize), &watch);
            self.encode_input(&encoder, &input, |place, block| EncodedBlock {
                file,
                block: done + skipped + place.block,
                ..block
            })?;
            done += num_batches;
        }
        Ok(())
    }

    /// Encodes on other threads, and hands over what they give on this one.
    fn encode_input(
        &self,
        encoder: &FilesEncoder<'_>,
        input: &Input<'_>,
        mut finish: impl FnMut(Place, EncodedBlock) -> EncodedBlock,
    ) -> PyResult<()> {
        let queue = encoder.queue();
        let feed = |py: Python<'_>, attendant: &mut Attendant<'_>| {
            let _closed = queue.close_on_drop();
            loop {
                attendant.attend(py)?;
                match py.detach(|| queue.take(SIGNAL_INTERVAL)) {
                    Ok((place, block)) => {
                        let block = PyEncodedBlock::new(py, finish(place, block));
                        self.take.call1((block,))?;
                    }
                    Err(RecvTimeoutError::Timeout) => (),
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                }
            }
        };
        let job = || encoder.encode_input(input, &queue);
        watched(self.py, &encoder.watch(), None, feed, job)?.complete()
    }
}

/// Whether a file is a table, which pyarrow reads.
pub(super) fn is_table(part: &FilePart) -> bool {
    let ending = part.path.extension();
    ending.is_some_and(|ending| ending == "parquet")
}

/// Refuses parts of tables.
pub(super) fn check_whole(tables: &[FilePart]) -> Result<(), TrainError> {
    let part = tables
        .iter()
        .find_map(|table| Some((table, table.bytes.as_ref()?)));
    part.map_or(Ok(()), |(table, bytes)| {
        Err(TrainError::NoSuchPart {
            path: table.path.clone(),
            start: bytes.start,
            stop: bytes.end,
            size: None,
        })
    })
}
