//! What a backend has read of a pool's medium, kept for one operation.
//!
//! Some media answer slowly: a volume group is read by a program. An operation asks many questions of
//! them and means one moment, the one after it has its lock, so the answer of the first question serves
//! them all. It is forgotten when a lock is taken; a backend that changes something forgets it too, or keeps
//! what it has become.

use crate::Result;
use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The memory of one open pool, which lives as long as an operation.
#[derive(Default)]
pub struct Memory {
    held: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
    short: bool,
}

impl Memory {
    /// One that keeps nothing, for whoever keeps a pool open over many operations.
    pub fn short() -> Memory {
        Memory { short: true, ..Memory::default() }
    }

    /// What is remembered, or else what `read` gives, which is remembered from now on.
    pub fn or_read<T: Any + Send + Sync>(
        &self,
        read: impl FnOnce() -> Result<T>,
    ) -> Result<Arc<T>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = held.as_ref().and_then(|held| Arc::clone(held).downcast().ok()) {
            return Ok(known);
        }
        let new = Arc::new(read()?);
        if !self.short {
            *held = Some(Arc::clone(&new) as Arc<dyn Any + Send + Sync>);
        }
        Ok(new)
    }

    /// Remembers this instead: what a change made of it, so that it need not be read again.
    pub fn keep<T: Any + Send + Sync>(&self, new: T) {
        if !self.short {
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(new));
        }
    }

    /// Forgets it: the next question is asked of the medium.
    pub fn forget(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_read_again_only_after_it_was_forgotten() {
        let memory = Memory::default();
        let read = |number: u32| *memory.or_read(|| Ok(number)).unwrap();
        assert_eq!((read(1), read(2)), (1, 1));
        memory.forget();
        assert_eq!(read(3), 3);
        memory.keep(4_u32);
        assert_eq!(read(5), 4);
        let short = Memory::short();
        short.keep(4_u32);
        let read = |number: u32| *short.or_read(|| Ok(number)).unwrap();
        assert_eq!((read(1), read(2)), (1, 2));
    }
}
