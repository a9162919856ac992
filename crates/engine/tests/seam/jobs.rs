//! Jobs on workers, and orders from other threads.

use std::sync::mpsc::channel;

use afpa_engine::workers::Busy;
use afpa_engine::{Outcome, Wake};

use crate::bench::{Bench, Cx, Scripted, WAIT, take};

/// Spawns a job by name, and answers with what became of it.
fn jobs(cx: &mut Cx<'_>) -> Outcome {
    match take(cx).as_str() {
        "number" => cx.spawn(|| 42u32).unwrap(),
        "text" => cx.spawn(|| "not a number").unwrap(),
        // Past the panic hook, which would print.
        "panic" => cx.spawn(|| -> u32 { std::panic::resume_unwind(Box::new("job")) }).unwrap(),
        _ => {}
    }
    if let Some(result) = cx.completion::<u32>() {
        assert_eq!(cx.wake, Wake::Completed);
        cx.output.send(format!("{result:?}").as_bytes());
        assert!(cx.completion::<u32>().is_none(), "a result is taken once");
    }
    WAIT
}

#[test]
fn a_job_comes_back_with_its_value_or_with_the_news_that_there_is_none() {
    let mut bench = Bench::new(jobs);
    let peer = bench.connect();
    for (job, expected) in [("number", "Some(42)"), ("text", "None"), ("panic", "None"), ("number", "Some(42)")] {
        peer.send(job.as_bytes());
        let mut got = Vec::new();
        bench.until(|| {
            got.extend(peer.read(usize::MAX));
            !got.is_empty()
        });
        assert_eq!(String::from_utf8(got).unwrap(), expected, "{job}");
    }
    assert_eq!(bench.engine.handle().stats().completions.get(), 4);
}

#[test]
fn a_full_queue_refuses_at_once_and_is_counted() {
    let mut bench = Bench::new(|cx| {
        if !take(cx).is_empty() {
            let refused = cx.spawn(|| ()) == Err(Busy);
            cx.output.send(if refused { b"busy" } else { b"queued" });
        }
        WAIT
    });
    let (release, gate) = channel::<()>();
    let (start, started) = channel();
    let occupy = move || {
        start.send(()).unwrap();
        let _ = gate.recv();
    };
    bench.workers.submit(occupy).unwrap();
    started.recv().unwrap();
    let (first, second) = (bench.connect(), bench.connect());
    assert_eq!(bench.exchange(&first, b"job"), b"queued");
    assert_eq!(bench.exchange(&second, b"job"), b"busy");
    assert_eq!(bench.engine.handle().stats().refused_jobs.get(), 1);
    drop(release);
}

#[test]
fn a_command_of_another_thread_runs_on_the_engine() {
    let mut bench = Bench::new(jobs);
    let (handle, owner) = (bench.engine.handle(), bench.owner);
    let (done, report) = channel();
    let commander = std::thread::spawn(move || {
        handle.command(move |control| {
            let script = control.global::<Scripted>(owner).unwrap();
            script.commanded += 1;
            done.send((script.commanded, std::thread::current().id())).unwrap();
        });
    });
    commander.join().unwrap();
    bench.pass();
    assert_eq!(report.try_recv(), Ok((1, std::thread::current().id())));
}
