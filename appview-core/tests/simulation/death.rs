//! How a run is killed: at the n-th passing of a named point, with whatever was under way.
//!
//! A point is one for the whole process, and tests run beside each other, so the count is the thread's own.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::Once;

/// Every named point on the way of a frame, in its order.
pub const POINTS: [&str; 6] = [
    "pump::verified",
    "pump::gathered",
    "index::before-begin",
    "index::mid-transaction",
    "index::before-commit",
    "index::after-commit",
];

/// Those on the way of an index that takes the place of another.
pub const SWAP_POINTS: [&str; 2] = ["index::before-swap", "index::after-swap"];

/// What is thrown.
struct Killed;

thread_local! {
    /// The point, and how often it is passed first.
    static FATE: RefCell<Option<(&'static str, u64)>> = const { RefCell::new(None) };
}

/// Lets points kill whoever is doomed in his thread, once for all threads.
fn arm() {
    static ARMED: Once = Once::new();
    ARMED.call_once(|| {
        for point in POINTS.into_iter().chain(SWAP_POINTS) {
            fail::cfg_callback(point, move || pass(point)).unwrap();
        }
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.payload().is::<Killed>() {
                told(panic);
            }
        }));
    });
}

fn pass(point: &'static str) {
    let is_over = FATE.with_borrow_mut(|fate| match fate {
        Some((doomed, left)) if *doomed == point => match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                false
            }
            None => {
                *fate = None;
                true
            }
        },
        _ => false,
    });
    if is_over {
        panic_any(Killed);
    }
}

/// Lives until the end, or until it is killed: then there is no result.
pub fn live<T>(fate: Option<(&'static str, u64)>, life: impl FnOnce() -> T) -> Option<T> {
    arm();
    FATE.set(fate);
    let lived = catch_unwind(AssertUnwindSafe(life));
    FATE.set(None);
    match lived {
        Ok(end) => Some(end),
        Err(panic) if panic.is::<Killed>() => None,
        Err(panic) => resume_unwind(panic),
    }
}
