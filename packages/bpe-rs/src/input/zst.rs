//! Zstandard files (RFC 8878): frames one after the other, some of them to be skipped.

use std::error::Error;
use std::io::{self, BufRead, ErrorKind, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Decompresses all frames of a source, to its end.
pub(super) struct ZstDecoder<R> {
    source: R,
    decoder: FrameDecoder,
    is_in_frame: bool,
    /// A file without any frame is not one of Zstandard's.
    has_frames: bool,
}

impl<R: BufRead> ZstDecoder<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            decoder: FrameDecoder::new(),
            is_in_frame: false,
            has_frames: false,
        }
    }

    /// Begins the next frame, or skips it; false at the end of the source.
    fn next_frame(&mut self) -> io::Result<bool> {
        if self.source.fill_buf()?.is_empty() {
            return match self.has_frames {
                true => Ok(false),
                false => Err(ErrorKind::UnexpectedEof.into()),
            };
        }
        self.has_frames = true;
        match self.decoder.reset(&mut self.source) {
            Ok(()) => self.is_in_frame = true,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => self.skip(length.into())?,
            Err(error) => return Err(invalid(error)),
        }
        Ok(true)
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.source.by_ref().take(length), &mut io::sink())?;
        match skipped == length {
            true => Ok(()),
            false => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.is_in_frame = false;
        let stored = self.decoder.get_checksum_from_data();
        if stored.is_some() && stored != self.decoder.get_calculated_checksum() {
            let message = "the checksum of a frame does not match";
            return Err(io::Error::new(ErrorKind::InvalidData, message));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for ZstDecoder<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(bytes);
            } else if !self.is_in_frame {
                if !self.next_frame()? {
                    return Ok(0);
                }
            } else if self.decoder.is_finished() {
                self.end_frame()?;
            } else {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                let decoded = self.decoder.decode_blocks(&mut self.source, one);
                decoded.map_err(invalid)?;
            }
        }
    }
}

/// The decoder's error, or the reader's where that is the cause: it says more plainly that the
/// file ends too early.
fn invalid(error: FrameDecoderError) -> io::Error {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(reader) = error.downcast_ref::<io::Error>() {
            return reader.kind().into();
        }
        cause = error.source();
    }
    io::Error::new(ErrorKind::InvalidData, error)
}
