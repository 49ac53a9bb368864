//! Several things at once on one thread.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Runs all `futures` at the same time and gives their results in order.
pub(crate) async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(Box::pin).map(Some).collect();
    let mut results: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    poll_fn(move |context| {
        for (future, result) in running.iter_mut().zip(&mut results) {
            if let Some(pending) = future
                && let Poll::Ready(value) = pending.as_mut().poll(context)
            {
                *result = Some(value);
                *future = None;
            }
        }
        match running.iter().all(Option::is_none) {
            true => Poll::Ready(results.drain(..).flatten().collect()),
            false => Poll::Pending,
        }
    })
    .await
}

/// Runs `work` until it or `end` is done; nothing when `end` was first.
pub(crate) async fn until<W: Future>(work: W, end: impl Future<Output = ()>) -> Option<W::Output> {
    let (mut work, mut end) = (pin!(work), pin!(end));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => end.as_mut().poll(context).map(|()| None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    #[test]
    fn results_come_in_order_and_the_end_cuts_work_short() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let delayed = |value: u32| async move {
                for _ in value..3 {
                    tokio::task::yield_now().await;
                }
                value
            };
            assert_eq!(all((0..3).map(delayed)).await, [0, 1, 2]);
            assert_eq!(until(ready(1), pending()).await, Some(1));
            assert_eq!(until(pending::<u8>(), ready(())).await, None);
        });
    }
}
