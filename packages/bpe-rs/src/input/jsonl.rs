//! JSON lines: each line an object, one of whose fields is a text.

use std::collections::BTreeSet;
use std::fmt;

use memchr::memchr_iter;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;

use super::FileOptions;
use super::block::{Lines, Taken};
use crate::error::TrainError;

/// So many field names are told of a line without the right one.
const MAX_FIELDS_TOLD: usize = 20;

/// The lines of a block.
pub(super) struct JsonLines<'t> {
    taken: &'t Taken<'t>,
    options: &'t FileOptions,
}

impl<'t> JsonLines<'t> {
    pub(super) fn new(taken: &'t Taken<'t>, options: &'t FileOptions) -> Self {
        Self { taken, options }
    }

    /// Hands over the text of each line that is not blank.
    pub(super) fn for_each_text(
        &self,
        lines: &str,
        take: &mut impl FnMut(&str) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let lines = match self.taken.offset {
            // A mark that some editors write before a file's text; JSON has no place for it.
            0 => lines.strip_prefix('\u{feff}').unwrap_or(lines),
            _ => lines,
        };
        let ends = memchr_iter(b'\n', lines.as_bytes()).chain([lines.len()]);
        let mut start = 0;
        for (index, end) in ends.enumerate() {
            let line = &lines[start..end];
            start = end + 1;
            if line.len() > self.options.max_line_bytes {
                let number = self.number(index)?;
                return Err(self
                    .taken
                    .file
                    .line_too_long(number, self.options.max_line_bytes));
            }
            if !line
                .bytes()
                .all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
            {
                self.take_text(line, index, take)?;
            }
        }
        Ok(())
    }

    fn take_text(
        &self,
        line: &str,
        index: usize,
        take: &mut impl FnMut(&str) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let mut taking = Taking {
            take,
            is_done: false,
            failure: None,
        };
        let mut json = serde_json::Deserializer::from_str(line);
        let record = Record {
            text_field: &self.options.text_field,
            taking: &mut taking,
        };
        let read = record.deserialize(&mut json).and_then(|()| json.end());
        match (taking.failure, read) {
            (Some(failure), _) => Err(failure),
            (None, Err(error)) => Err(self.refused(&error, index)),
            (None, Ok(())) if taking.is_done => Ok(()),
            (None, Ok(())) => Err(self.no_text_field(line, index)),
        }
    }

    /// The number of a line of the block, the file's first being 1.
    fn number(&self, index: usize) -> Result<u64, TrainError> {
        let before = match &self.taken.lines {
            Lines::Before(lines) => *lines,
            Lines::Uncounted(plain) => plain.lines_before(self.taken.offset)?,
        };
        Ok(before + index as u64 + 1)
    }

    fn refused(&self, error: &serde_json::Error, index: usize) -> TrainError {
        let line = match self.number(index) {
            Ok(line) => line,
            Err(error) => return error,
        };
        let path = self.taken.file.path.clone();
        let (message, column) = (without_place(error), error.column());
        match error.classify() {
            Category::Data => TrainError::WrongJsonText {
                path,
                line,
                field: self.options.text_field.clone(),
                message,
            },
            _ => TrainError::InvalidJson {
                path,
                line,
                column,
                message,
            },
        }
    }

    fn no_text_field(&self, line: &str, index: usize) -> TrainError {
        let fields: Result<Fields, _> = serde_json::from_str(line);
        match self.number(index) {
            Err(error) => error,
            Ok(line) => TrainError::NoTextField {
                path: self.taken.file.path.clone(),
                line,
                field: self.options.text_field.clone(),
                found: fields.unwrap_or_default().0.into_iter().collect(),
            },
        }
    }
}

/// The message alone: every line is the first one to the parser.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&place).unwrap_or(&message).to_owned()
}

/// Whom the text goes to. It goes there from inside the parser, which needs no copy of it then,
/// and before the rest of the line is seen to be right: an error ends all counting anyway.
struct Taking<'t, F> {
    take: &'t mut F,
    is_done: bool,
    failure: Option<TrainError>,
}

/// A line's object.
struct Record<'r, 't, F> {
    text_field: &'r str,
    taking: &'r mut Taking<'t, F>,
}

impl<'de, F> DeserializeSeed<'de> for Record<'_, '_, F>
where
    F: FnMut(&str) -> Result<(), TrainError>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F> Visitor<'de> for Record<'_, '_, F>
where
    F: FnMut(&str) -> Result<(), TrainError>,
{
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(is_text) = map.next_key_seed(IsField(self.text_field))? {
            if !is_text {
                map.next_value::<IgnoredAny>()?;
            } else if self.taking.is_done {
                return Err(A::Error::custom("the field stands there twice"));
            } else {
                self.taking.is_done = true;
                map.next_value_seed(&mut *self.taking)?;
            }
        }
        Ok(())
    }
}

/// The text itself.
impl<'de, F> DeserializeSeed<'de> for &mut Taking<'_, F>
where
    F: FnMut(&str) -> Result<(), TrainError>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<F> Visitor<'_> for &mut Taking<'_, F>
where
    F: FnMut(&str) -> Result<(), TrainError>,
{
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        (self.take)(text).map_err(|failure| {
            self.failure = Some(failure);
            E::custom("the text was refused")
        })
    }
}

/// Whether a key is the field wanted.
struct IsField<'r>(&'r str);

impl<'de> DeserializeSeed<'de> for IsField<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsField<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// The names of an object's fields, as far as they are told.
#[derive(Default)]
struct Fields(BTreeSet<String>);

impl<'de> serde::Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self::default())
    }
}

impl<'de> Visitor<'de> for Fields {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some((name, IgnoredAny)) = map.next_entry::<String, _>()? {
            if self.0.len() < MAX_FIELDS_TOLD {
                self.0.insert(name);
            }
        }
        Ok(self)
    }
}
