//! Pipes and devices, which may be silent for ever, read so that the watch is still heard.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::watch::Watch;

const PART_BYTES: usize = 64 << 10;
/// Parts read ahead.
const AHEAD: usize = 4;
/// How long the watch may go unasked.
const WAIT: Duration = Duration::from_millis(20);

/// Reads on a thread of its own.
///
/// Opening a pipe and reading from it last until somebody writes, and neither can be called off
/// portably. When nobody waits for it any more, that thread ends as soon as the pipe says something,
/// or with the process.
pub(super) struct Pipe<'a> {
    parts: Receiver<io::Result<Vec<u8>>>,
    part: Vec<u8>,
    /// How much of the part was given out.
    at: usize,
    has_ended: bool,
    watch: &'a Watch,
}

impl<'a> Pipe<'a> {
    pub(super) fn open(path: &Path, watch: &'a Watch) -> io::Result<Self> {
        let (sender, parts) = sync_channel(AHEAD);
        let path = path.to_owned();
        thread::Builder::new().spawn(move || send_parts(path, &sender))?;
        Ok(Self {
            parts,
            part: Vec::new(),
            at: 0,
            has_ended: false,
            watch,
        })
    }

    fn next_part(&mut self) -> io::Result<()> {
        loop {
            self.watch.check().map_err(io::Error::other)?;
            match self.parts.recv_timeout(WAIT) {
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("the thread that reads it has ended"));
                }
                Ok(part) => {
                    (self.part, self.at) = (part?, 0);
                    self.has_ended = self.part.is_empty();
                    return Ok(());
                }
            }
        }
    }
}

impl Read for Pipe<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.at == self.part.len() && !self.has_ended {
            self.next_part()?;
        }
        let count = (&self.part[self.at..]).read(bytes)?;
        self.at += count;
        Ok(count)
    }
}

/// Sends what the file holds, then an empty part; or what went wrong.
fn send_parts(path: PathBuf, parts: &SyncSender<io::Result<Vec<u8>>>) {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return drop(parts.send(Err(error))),
    };
    loop {
        let part = read_part(&mut file);
        let is_last = part.as_ref().map_or(true, Vec::is_empty);
        if parts.send(part).is_err() || is_last {
            return;
        }
    }
}

fn read_part(file: &mut File) -> io::Result<Vec<u8>> {
    let mut part = vec![0; PART_BYTES];
    let count = loop {
        match file.read(&mut part) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    part.truncate(count);
    Ok(part)
}
