//! Large pages for large allocations.

#![cfg_attr(
    target_os = "linux",
    expect(
        unsafe_code,
        reason = "the system has to be asked: a table of 16 MB in pages of 4 kB is more than the \
                  processor knows the places of"
    )
)]

/// Smaller allocations hold no large page for certain.
#[cfg(target_os = "linux")]
const WORTH_BYTES: usize = 4 << 20;

/// Asks for large pages under `memory`, as far as it has not been written to. Nothing depends on it
/// but time.
#[cfg(target_os = "linux")]
pub(crate) fn advise_huge_pages<T>(memory: &mut [T]) {
    const PAGE: usize = 1 << 12;
    let bytes = size_of_val(memory);
    let address = memory.as_mut_ptr().cast::<u8>();
    let skipped = address.align_offset(PAGE);
    if bytes < WORTH_BYTES || skipped > bytes {
        return;
    }
    // SAFETY: the pages lie wholly inside memory that is borrowed mutably here, and this advice
    // changes no content. An address that is no start of a page, where pages are larger, is an error
    // that changes nothing.
    unsafe {
        let start = address.add(skipped);
        libc::madvise(start.cast(), bytes - skipped, libc::MADV_HUGEPAGE);
    }
}

/// Other systems choose by themselves.
#[cfg(not(target_os = "linux"))]
pub(crate) fn advise_huge_pages<T>(_memory: &mut [T]) {}
