//! An allocator that remembers what was in memory when it was given back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

/// What is remembered at most: a test does far less.
const ROOM: usize = 64 << 20;
/// Of one block: longer ones hold no secret of ours at their end.
const MOST: usize = 64 << 10;

static GRAVES: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static FILLED: AtomicUsize = AtomicUsize::new(0);
static IS_OPEN: AtomicBool = AtomicBool::new(false);

/// The system's allocator, which keeps a copy of each block that is given back while [`dig`] runs. A block that grows is given back,
/// and another taken, always.
#[derive(Clone, Copy, Debug, Default)]
pub struct Graveyard;

// SAFETY: all memory is the system's, asked for and given back with the caller's layout.
unsafe impl GlobalAlloc for Graveyard {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeroed, so that what is copied was written, by its owner or here.
        // SAFETY: the caller keeps the promises of `alloc`, which are those of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if IS_OPEN.load(Ordering::Acquire) {
            let length = layout.size().min(MOST);
            let at = FILLED.fetch_add(length, Ordering::AcqRel);
            if at + length <= ROOM {
                let graves = GRAVES.load(Ordering::Acquire);
                // SAFETY: the block is still its owner's and as long as its layout; the place was reserved by the addition above, lies
                // within the graves, and is nobody else's.
                unsafe { ptr::copy_nonoverlapping(block, graves.add(at), length) };
            }
        }
        // SAFETY: the caller keeps the promises.
        unsafe { System.dealloc(block, layout) }
    }
}

/// What was given back.
#[derive(Debug)]
pub struct Graves(&'static [u8]);

impl Graves {
    /// Whether these bytes lie in it.
    pub fn hold(&self, secret: &[u8]) -> bool {
        let (Some(first), true) = (secret.first(), secret.len() >= 16) else {
            panic!("what is shorter than 16 bytes is found by chance")
        };
        let mut starts = self.0.iter().enumerate().filter(|(_, byte)| *byte == first);
        starts.any(|(at, _)| self.0[at..].starts_with(secret))
    }
}

/// Runs this, and returns what it has returned with all that was given back meanwhile. Once in a process at a time.
///
/// # Panics
/// If it was too much to remember, or [`Graveyard`] is not the allocator.
pub async fn dig<T>(work: impl AsyncFnOnce() -> T) -> (T, Graves) {
    // SAFETY: the layout has a size.
    let graves = unsafe { System.alloc_zeroed(Layout::array::<u8>(ROOM).expect("it fits")) };
    assert!(!graves.is_null());
    GRAVES.store(graves, Ordering::Release);
    FILLED.store(0, Ordering::Release);
    IS_OPEN.store(true, Ordering::Release);
    drop(std::hint::black_box(Box::new(*b"the allocator is asked")));
    let done = work().await;
    IS_OPEN.store(false, Ordering::Release);
    let filled = FILLED.load(Ordering::Acquire);
    assert!((1..=ROOM).contains(&filled), "{filled} bytes");
    // SAFETY: so many bytes were written, nobody writes any more, and nobody gives them back.
    (done, Graves(unsafe { std::slice::from_raw_parts(graves, filled) }))
}
