//! The engine's settings: what guests run on, with the reason for each figure. Measured in design/plugin-abi.md.

use super::trace::MOST_FRAMES;
use std::num::NonZeroUsize;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails};

/// Tables of a guest hold at most this many elements, 8 bytes each. Large Rust guests have some thousand functions in theirs.
pub(super) const TABLE_ELEMENTS: usize = 10_000;

/// Core instances, memories and tables of one component: a std guest of Rust has 4 to 6, 1 and 2 to 3; Python, whose libraries are instances of
/// their own, has 38, and stubs of WASI that tools put into a component bring memories. Room costs nothing until it is used.
pub(super) const CORE_INSTANCES: u32 = 64;
pub(super) const MEMORIES: u32 = 4;
pub(super) const TABLES: u32 = 8;

/// Memory that a freed slot keeps for its next guest, bytes. With `PAGEMAP_SCAN` (Linux 6.7) only touched pages are reset, so
/// that keeping more costs nothing; without, every kept byte is cleared each time.
const KEEP_WITH_SCAN: usize = 1200 << 10;
const KEEP_WITHOUT_SCAN: usize = 64 << 10;
const KEEP_TABLE: usize = 16 << 10;

/// An engine with a pool of `guests` slots; with fewer, and at last without a pool, where so much address space cannot be had
/// (`ulimit -v`, strict overcommit). Without a pool a fresh guest costs some 30 µs more.
pub(super) fn make(guests: u32) -> wasmtime::Result<Engine> {
    for slots in [guests, guests.min(256)] {
        let mut config = settings();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
        match Engine::new(&config) {
            Ok(engine) => return Ok(engine),
            Err(error) => tracing::warn!("no pool of {slots} guests: {error:#}"),
        }
    }
    Engine::new(&settings())
}

fn settings() -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        // A call costs 104 ns instead of 392.
        .concurrency_support(false)
        .epoch_interruption(true)
        .memory_init_cow(true)
        // Taken when a call traps, and only then; what it costs is in `trace`. Files and lines are looked up by `lines`, for reports only.
        .wasm_backtrace_max_frames(NonZeroUsize::new(MOST_FRAMES))
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .native_unwind_info(false)
        .generate_address_map(true)
        // The same inputs give the same bits on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        // `lift` and `lower` know 32-bit memories only.
        .wasm_memory64(false)
        .parallel_compilation(true);
    config
}

/// Whether pages can be swapped out. wasmtime's scan does not see those that are, and would leave what one guest wrote there for the next
/// (<https://github.com/bytecodealliance/wasmtime/pull/14357>, open as of 48.0.8).
fn swaps() -> bool {
    // The first line is a heading. Where it cannot be read, nothing is known.
    std::fs::read_to_string("/proc/swaps").map_or(true, |areas| areas.lines().count() > 1)
}

fn pool(guests: u32) -> PoolingAllocationConfig {
    let scan = PoolingAllocationConfig::is_pagemap_scan_available() && !swaps();
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(guests)
        .total_core_instances(guests.saturating_mul(4))
        .total_memories(guests)
        .total_tables(guests.saturating_mul(2))
        // Of guests that may wait; others run on the worker's.
        .total_stacks(guests)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .table_elements(TABLE_ELEMENTS)
        // Slots that remember their last component: the next guest of it starts without a single mmap. Each may keep what
        // KEEP_… allows, so this many times that at worst. As many as guests was no faster, with ten filters of 64 connections.
        .max_unused_warm_slots(128)
        .linear_memory_keep_resident(if scan { KEEP_WITH_SCAN } else { KEEP_WITHOUT_SCAN })
        .table_keep_resident(KEEP_TABLE)
        .pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });
    pool
}
