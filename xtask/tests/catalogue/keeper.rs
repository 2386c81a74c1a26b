//! One server for all rows. It takes a minute until all its defences hold, so it outlives each test;
//! what it consists of outside this process is taken away when the process ends.

use std::{
    sync::{
        Mutex, MutexGuard, Once, PoisonError,
        mpsc::{Sender, channel},
    },
    thread,
};

use xtask::lab::{
    attack::Attack,
    catalogue::{Setup, Site, Subject, binary},
    thread::last_cpu,
};

/// The server that all rows share but the one of frames that do not fit through its wire.
static SITE: Mutex<Option<Site>> = Mutex::new(None);

/// Has a server flooded.
pub fn with<R: Send>(attack: &Attack, work: impl FnOnce(&Site) -> R + Send) -> R {
    if attack.mtu() > 1500 {
        return work(&built(attack.mtu()));
    }
    let mut kept = lock();
    if kept.is_none() {
        *kept = Some(on_a_thread_that_stays(|| built(1500)));
        static AT_EXIT: Once = Once::new();
        // SAFETY: the function takes and returns nothing, and does not unwind.
        AT_EXIT.call_once(|| assert_eq!(unsafe { libc::atexit(put_away) }, 0));
    }
    work(kept.as_ref().unwrap())
}

fn built(mtu: u32) -> Site {
    Site::new(
        Subject::Floodwall,
        Setup::Defended,
        &binary(None).unwrap(),
        mtu,
        last_cpu().unwrap(),
    )
    .unwrap()
}

/// A daemon ends with the thread that started it, and a test's thread ends with the test.
fn on_a_thread_that_stays(work: impl FnOnce() -> Site + Send + 'static) -> Site {
    let (sender, receiver): (Sender<Site>, _) = channel();
    thread::spawn(move || {
        sender.send(work()).unwrap();
        loop {
            thread::park();
        }
    });
    receiver.recv().expect("the site was built")
}

fn lock() -> MutexGuard<'static, Option<Site>> {
    // A test that failed holds it no more.
    SITE.lock().unwrap_or_else(PoisonError::into_inner)
}

extern "C" fn put_away() {
    // Statics are not dropped, and a sandbox is more than memory.
    let site = lock().take();
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(site)));
}
