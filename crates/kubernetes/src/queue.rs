//! Work by key: one at a time for each key, so many at once in all, and again where it has to be.

use futures::{Stream, StreamExt};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What follows a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing until the key comes again.
    Done,
    /// It failed: again after a pause that grows with each failure in a row.
    Retry,
    /// Again after this long.
    After(Duration),
}

impl Next {
    /// What follows two pieces of work on one key.
    pub fn sooner(self, other: Next) -> Next {
        match (self, other) {
            (Next::Done, next) | (next, Next::Done) => next,
            (Next::Retry, _) | (_, Next::Retry) => Next::Retry,
            (Next::After(one), Next::After(other)) => Next::After(one.min(other)),
        }
    }
}

/// How a queue paces its work.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Pieces of work at once.
    pub most: usize,
    /// The pause after a first failure, doubled with each one that follows.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

/// Gives each key of `keys` to `work`, until `keys` ends and all work has. A key that comes while it is at
/// work is taken once more afterwards; one that waits to be taken is taken once.
pub async fn run<K, F>(keys: impl Stream<Item = K>, pace: Pace, work: impl Fn(K) -> F)
where
    K: Clone + Eq + Hash + Send + 'static,
    F: Future<Output = Next> + Send + 'static,
{
    let mut keys = std::pin::pin!(keys);
    let mut queue = Queue::<K>::new(pace);
    let mut running = JoinSet::new();
    let mut open = true;
    loop {
        // Once no more keys come, what failed is left to whoever goes on.
        if open {
            queue.wake();
        }
        while running.len() < pace.most
            && let Some(key) = queue.take()
        {
            let doing = work(key.clone());
            running.spawn(async move { (key, doing.await) });
        }
        if !open && running.is_empty() {
            return;
        }
        let alarm = queue.alarm().filter(|_| open);
        tokio::select! {
            came = keys.next(), if open => match came {
                Some(key) => queue.add(key),
                None => open = false,
            },
            Some(ended) = running.join_next() => match ended {
                Ok((key, next)) => queue.ended(key, next),
                Err(error) => log::error!("a piece of work ended badly: {error}"),
            },
            () = tokio::time::sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => {}
        }
    }
}

struct Queue<K> {
    pace: Pace,
    waiting: VecDeque<K>,
    /// Those in `waiting`.
    known: HashSet<K>,
    /// Those at work, and whether they came again meanwhile.
    working: HashMap<K, bool>,
    /// Those that are taken later. Two may have one time.
    later: BTreeMap<(Instant, u64), K>,
    number: u64,
    failures: HashMap<K, u32>,
}

impl<K: Clone + Eq + Hash> Queue<K> {
    fn new(pace: Pace) -> Queue<K> {
        Queue {
            pace,
            waiting: VecDeque::new(),
            known: HashSet::new(),
            working: HashMap::new(),
            later: BTreeMap::new(),
            number: 0,
            failures: HashMap::new(),
        }
    }

    fn add(&mut self, key: K) {
        if let Some(again) = self.working.get_mut(&key) {
            *again = true;
        } else if self.known.insert(key.clone()) {
            self.later.retain(|_, other| *other != key);
            self.waiting.push_back(key);
        }
    }

    fn take(&mut self) -> Option<K> {
        let key = self.waiting.pop_front()?;
        self.known.remove(&key);
        self.working.insert(key.clone(), false);
        Some(key)
    }

    fn ended(&mut self, key: K, next: Next) {
        let again = self.working.remove(&key).unwrap_or(false);
        let pause = match next {
            Next::Done => None,
            Next::After(pause) => Some(pause),
            Next::Retry => {
                let failures = self.failures.entry(key.clone()).or_default();
                let factor = 1_u32.checked_shl(*failures).unwrap_or(u32::MAX);
                *failures += 1;
                Some(self.pace.first.saturating_mul(factor).min(self.pace.longest))
            }
        };
        if next != Next::Retry {
            self.failures.remove(&key);
        }
        match pause {
            // After a failure only the pause helps: what came meanwhile may have been its own writing.
            Some(pause) if next == Next::Retry || !again => {
                self.number += 1;
                self.later.insert((Instant::now() + pause, self.number), key);
            }
            None if !again => {}
            _ => self.add(key),
        }
    }

    /// Moves those whose time has come.
    fn wake(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= now) {
            let key = entry.remove();
            self.add(key);
        }
    }

    fn alarm(&self) -> Option<Instant> {
        self.later.keys().next().map(|(time, _)| *time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    const PACE: Pace =
        Pace { most: 2, first: Duration::from_secs(1), longest: Duration::from_secs(4) };

    type Log = Arc<Mutex<Vec<(u64, char)>>>;

    /// What was done, each with the second that it was begun in; every piece takes `takes`.
    async fn done(
        keys: Vec<(u64, char)>,
        takes: Duration,
        next: impl Fn(char, usize) -> Next + Copy + Send + Sync + 'static,
    ) -> Vec<(u64, char)> {
        let (start, log) = (Instant::now(), Log::default());
        let keys = futures::stream::iter(keys).then(move |(second, key)| async move {
            tokio::time::sleep_until(start + Duration::from_secs(second)).await;
            key
        });
        let seen = log.clone();
        let forever = futures::stream::pending();
        let work = run(keys.chain(forever), PACE, move |key| {
            let log = seen.clone();
            async move {
                let times = {
                    let mut log = log.lock().unwrap();
                    log.push((start.elapsed().as_secs(), key));
                    log.iter().filter(|(_, other)| *other == key).count()
                };
                tokio::time::sleep(takes).await;
                next(key, times)
            }
        });
        let _ = tokio::time::timeout(Duration::from_secs(60), work).await;
        log.lock().unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_worked_on_once_at_a_time_and_so_many_at_once() {
        let keys = vec![(0, 'a'), (0, 'b'), (0, 'c'), (1, 'a'), (1, 'a')];
        let done = done(keys, Duration::from_secs(10), |_, _| Next::Done).await;
        assert_eq!(done, [(0, 'a'), (0, 'b'), (10, 'c'), (10, 'a')]);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_with_failures_to_the_longest_and_start_anew_after_success() {
        let next =
            |_, times| if times == 5 { Next::After(Duration::from_secs(30)) } else { Next::Retry };
        let done = done(vec![(0, 'a')], Duration::ZERO, next).await;
        let seconds: Vec<u64> = done.iter().map(|(second, _)| *second).collect();
        assert_eq!(seconds[..7], [0, 1, 3, 7, 11, 41, 42]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_comes_during_its_pause_is_taken_at_once_and_not_twice() {
        let next = |_, times| if times == 1 { Next::Retry } else { Next::Done };
        let later = |_, times: usize| {
            if times == 1 { Next::After(Duration::from_secs(9)) } else { Next::Done }
        };
        assert_eq!(done(vec![(0, 'a')], Duration::ZERO, next).await, [(0, 'a'), (1, 'a')]);
        let keys = vec![(0, 'a'), (5, 'a')];
        assert_eq!(done(keys, Duration::ZERO, later).await, [(0, 'a'), (5, 'a')]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_its_keys_and_finishes_what_is_at_work() {
        let log = Log::default();
        let seen = log.clone();
        run(futures::stream::iter(['a', 'b', 'c']), PACE, move |key| {
            let log = seen.clone();
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                log.lock().unwrap().push((0, key));
                Next::Retry
            }
        })
        .await;
        assert_eq!(log.lock().unwrap().len(), 3);
    }
}
