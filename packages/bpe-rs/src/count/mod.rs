//! How often each pretoken occurs: all that training needs to know of a corpus.
//!
//! | step | file |
//! | --- | --- |
//! | pretokens to counts, in memory | `table.rs` |
//! | a table that grew too large to a file, sorted | `spill.rs`, `runs.rs` |
//! | tables and files to one sequence, in order | `pretoken.rs`, `sort.rs`, `entries.rs` |
//! | merging, saving, loading | `counts.rs` |
//! | how a file looks | `file/`, `varint.rs` |
//! | how a file is put in the place of another | `replace.rs` |

mod counts;
mod entries;
mod file;
mod pretoken;
mod replace;
mod runs;
mod sort;
mod spill;
mod table;
#[cfg(test)]
mod tests;
mod varint;

pub use counts::PretokenCounts;
pub use entries::Entries;
pub(crate) use file::CutBy;
pub(crate) use spill::Spill;
pub(crate) use table::PretokenTable;
#[doc(hidden)]
pub use table::count_distinct;
