//! Where kernels run: the CPU level and the threads.
//!
//! The caller enters the pool once ([`Exec::run`]); kernels called inside split their work with
//! `rayon::join` over a few coarse tasks, without allocation. With one thread rayon is never
//! touched. No result depends on how the work was split.

use std::ops::Range;
use std::sync::Arc;

use super::Cpu;
use crate::guard::ENGINE_THREAD;

/// The CPU level and the threads that kernels use. Cheap to clone.
#[derive(Clone)]
pub struct Exec {
    cpu: Cpu,
    n_threads: usize,
    pool: Option<Arc<rayon::ThreadPool>>,
}

impl std::fmt::Debug for Exec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Exec({}, {} threads)", self.cpu.name(), self.n_threads)
    }
}

impl Exec {
    /// `n_threads` worker threads at this level; one thread, or zero, means the caller's own.
    /// If the system refuses the threads this is logged and the caller's thread does the work.
    pub fn new(cpu: Cpu, n_threads: usize) -> Exec {
        let mut exec = Exec {
            cpu,
            n_threads: 1,
            pool: None,
        };
        if n_threads > 1 {
            let builder = rayon::ThreadPoolBuilder::new()
                .num_threads(n_threads)
                .thread_name(|index| format!("{ENGINE_THREAD}-{index}"));
            match builder.build() {
                Ok(pool) => {
                    exec.n_threads = n_threads;
                    exec.pool = Some(Arc::new(pool));
                }
                Err(error) => log::warn!("no engine threads, using one: {error}"),
            }
        }
        exec
    }

    /// The CPU level.
    pub fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// The number of threads, at least 1.
    pub fn n_threads(&self) -> usize {
        self.n_threads
    }

    /// Calls `f` on each thread of the pool, if there is one.
    pub fn on_each_thread(&self, f: impl Fn() + Sync) {
        if let Some(pool) = &self.pool {
            pool.broadcast(|_| f());
        }
    }

    /// Runs `f` inside the pool. Kernels work without it too, but each one then enters the pool
    /// by itself, which costs some microseconds.
    pub fn run<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) if pool.current_thread_index().is_none() => pool.install(f),
            _ => f(),
        }
    }

    /// Calls `f` with ranges that cover `0..n_items` once, each of at least `min_chunk` items
    /// (unless there are fewer in all), on all threads.
    pub fn for_each_chunk(
        &self,
        n_items: usize,
        min_chunk: usize,
        f: impl Fn(Range<usize>) + Sync,
    ) {
        if n_items == 0 {
            return;
        }
        let n_chunks = (n_items / min_chunk.max(1)).clamp(1, 4 * self.n_threads);
        self.for_each_task(n_chunks, |i| {
            f(i * n_items / n_chunks..(i + 1) * n_items / n_chunks);
        });
    }

    /// Calls `f` with every whole stretch of `len` elements of `data` and its number, on all
    /// threads.
    pub fn for_each_part<T: Send>(
        &self,
        data: &mut [T],
        len: usize,
        f: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let n_parts = data.len() / len.max(1);
        let parts = Parts::new(data);
        self.for_each_task(n_parts, |i| {
            // SAFETY: the parts are disjoint, and every task is run once.
            f(i, unsafe { parts.part(i * len..(i + 1) * len) });
        });
    }

    /// Calls `f` with stretches of whole rows of `len` elements of `data`, and the number of the first of them,
    /// on all threads; each of at least `min_rows` rows, unless there are fewer in all. What is no whole row at
    /// the end is left out.
    pub fn for_each_rows<T: Send>(
        &self,
        data: &mut [T],
        len: usize,
        min_rows: usize,
        f: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let n_rows = data.len() / len.max(1);
        let parts = Parts::new(data);
        self.for_each_chunk(n_rows, min_rows, |rows| {
            let first = rows.start;
            // SAFETY: the chunks are disjoint.
            f(first, unsafe {
                parts.part(rows.start * len..rows.end * len)
            });
        });
    }

    /// Calls `f` once with every index below `n_tasks`, on all threads.
    pub(super) fn for_each_task(&self, n_tasks: usize, f: impl Fn(usize) + Sync) {
        if self.n_threads == 1 || n_tasks <= 1 {
            (0..n_tasks).for_each(f);
        } else {
            self.run(|| split(0..n_tasks, &f));
        }
    }
}

/// A slice that several threads write in disjoint parts.
pub(super) struct Parts<T> {
    data: *mut T,
    len: usize,
}

// SAFETY: whoever takes a part vouches that nobody else has it.
unsafe impl<T: Send> Sync for Parts<T> {}

impl<T> Parts<T> {
    pub(super) fn new(data: &mut [T]) -> Self {
        Parts {
            data: data.as_mut_ptr(),
            len: data.len(),
        }
    }

    /// # Safety
    /// The slice lives, and no other reference into `range` does.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: inside the slice; the rest is the caller's word.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(range.start), range.len()) }
    }
}

/// Halves the range until one task is left.
fn split(tasks: Range<usize>, f: &(impl Fn(usize) + Sync)) {
    if tasks.len() <= 1 {
        tasks.for_each(f);
    } else {
        let middle = tasks.start + tasks.len() / 2;
        rayon::join(
            || split(tasks.start..middle, f),
            || split(middle..tasks.end, f),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_item_is_visited_once() {
        for n_threads in [1, 2, 3] {
            let exec = Exec::new(Cpu::scalar(), n_threads);
            for n_items in [0, 1, 2, 7, 100] {
                let seen: Vec<AtomicUsize> = (0..n_items).map(|_| AtomicUsize::new(0)).collect();
                exec.for_each_chunk(n_items, 3, |range| {
                    assert!(range.len() >= 3.min(n_items));
                    for i in range {
                        seen[i].fetch_add(1, Ordering::Relaxed);
                    }
                });
                assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn every_row_is_visited_once() {
        for n_threads in [1, 2, 3] {
            let exec = Exec::new(Cpu::scalar(), n_threads);
            for n_rows in [0, 1, 5, 40] {
                let mut data = vec![0; 7 * n_rows + 3];
                exec.for_each_rows(&mut data, 7, 2, |first, rows| {
                    for (row, x) in (first..).zip(rows.chunks_exact_mut(7)) {
                        x.iter_mut().for_each(|x| *x += 1 + row);
                    }
                });
                let row_of = |i: usize| if i < 7 * n_rows { 1 + i / 7 } else { 0 };
                assert!(data.iter().enumerate().all(|(i, x)| *x == row_of(i)));
            }
        }
    }

    #[test]
    fn run_works_from_inside_and_outside_of_the_pool() {
        let exec = Exec::new(Cpu::scalar(), 2);
        assert_eq!(exec.run(|| exec.run(|| 7)), 7);
    }
}
