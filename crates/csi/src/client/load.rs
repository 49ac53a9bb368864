//! One RPC called many times, and what that took.

use super::connection::Connection;
use super::status::{Outcome, Status, code_name};
use crate::shape::{DynamicMessage, Rpc, numbered};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How many calls, and how many of them at the same time.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Calls in all.
    pub calls: u64,
    /// Calls that may run at the same time, at least 1.
    pub at_once: u64,
}

/// What many calls took.
#[derive(Debug, Clone, Default)]
pub struct Load {
    /// From the first call's start to the last one's end.
    pub wall: Duration,
    /// What each call took, shortest first.
    pub latencies: Vec<Duration>,
    /// By code: how many calls ended with it, and what the first of them said.
    pub codes: BTreeMap<&'static str, (u64, Status)>,
    /// The status of the failed call with the lowest number.
    pub failure: Option<Status>,
}

impl Load {
    /// The latency that `percent` of the calls did not exceed (nearest rank). Zero without calls.
    pub fn percentile(&self, percent: f64) -> Duration {
        let rank = (percent / 100.0 * self.latencies.len() as f64).ceil() as usize;
        self.latencies.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Calls that ended, in each second.
    pub fn per_second(&self) -> f64 {
        match self.wall.as_secs_f64() {
            0.0 => 0.0,
            seconds => self.latencies.len() as f64 / seconds,
        }
    }
}

/// Makes the calls with `template` as their request, numbered from 1. Every worker takes the next number
/// until there is none, so a slow call holds up no other.
pub(super) async fn run(
    connection: &Connection,
    rpc: &Rpc,
    plan: Plan,
    deadline: Duration,
    template: &DynamicMessage,
) -> Load {
    let next = Arc::new(AtomicU64::new(1));
    let found = Arc::new(Mutex::new(Found::default()));
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..plan.at_once.clamp(1, plan.calls.max(1)) {
        let (connection, rpc, template) = (connection.clone(), rpc.clone(), template.clone());
        let (next, found) = (Arc::clone(&next), Arc::clone(&found));
        workers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number > plan.calls {
                    break;
                }
                let request = numbered(&template, number);
                let mut ignore = |_| ControlFlow::Continue(());
                let outcome = connection.call(&rpc, request, deadline, &mut ignore).await;
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                found.note(number, outcome);
            }
        });
    }
    workers.join_all().await;
    let wall = start.elapsed();
    let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    found.load(wall)
}

/// What the workers have found so far.
#[derive(Default)]
struct Found {
    latencies: Vec<Duration>,
    /// By code: calls, and the one with the lowest number.
    codes: BTreeMap<&'static str, (u64, u64, Status)>,
}

impl Found {
    fn note(&mut self, number: u64, outcome: Outcome) {
        self.latencies.push(outcome.elapsed);
        let name = code_name(outcome.status.code);
        let (calls, first, status) =
            self.codes.entry(name).or_insert_with(|| (0, number, outcome.status.clone()));
        *calls += 1;
        if number < *first {
            (*first, *status) = (number, outcome.status);
        }
    }

    fn load(mut self, wall: Duration) -> Load {
        self.latencies.sort_unstable();
        let failed = self.codes.values().filter(|(_, _, status)| !status.is_ok());
        let failure =
            failed.min_by_key(|(_, first, _)| *first).map(|(_, _, status)| status.clone());
        let codes = self.codes.into_iter();
        let codes = codes.map(|(name, (calls, _, status))| (name, (calls, status))).collect();
        Load { wall, latencies: self.latencies, codes, failure }
    }
}
