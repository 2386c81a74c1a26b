//! A library that is loaded before the C library and lies to the daemon about the time of day, and
//! makes its disk slow: neither the clock of this machine nor a disk of it may be touched.
//!
//! All is read from the file that `FLOODWALL_SHIM` names, in words of eight bytes: seconds by which the
//! calendar is off, milliseconds that each wait for the disk takes, and the device that refuses writes.

use std::{
    ffi::{CStr, c_char, c_int, c_long, c_void},
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
    thread,
    time::Duration,
};

const CLOCK_REALTIME: c_int = 0;
const CLOCK_REALTIME_COARSE: c_int = 5;

#[repr(C)]
pub struct Timespec {
    seconds: i64,
    nanoseconds: c_long,
}

unsafe extern "C" {
    fn fstat(file: c_int, status: *mut u64) -> c_int;
    fn __errno_location() -> *mut c_int;
    fn getenv(name: *const c_char) -> *const c_char;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn mmap(at: *mut c_void, length: usize, how: c_int, kind: c_int, file: c_int, from: i64) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

static SHARED: AtomicPtr<i64> = AtomicPtr::new(ptr::null_mut());

#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

extern "C" fn begin() {
    const BYTES: usize = 24;
    // SAFETY: names end with a zero, the file is as long as the mapping, and what fails is not used.
    unsafe {
        let path = getenv(c"FLOODWALL_SHIM".as_ptr());
        if path.is_null() {
            return;
        }
        let file = open(path, 0);
        let mapped = mmap(ptr::null_mut(), BYTES, 1, 1, file, 0);
        if file >= 0 && mapped as isize != -1 {
            SHARED.store(mapped.cast(), Ordering::Release);
        }
    }
}

fn word(place: usize) -> i64 {
    let shared = SHARED.load(Ordering::Acquire);
    if shared.is_null() {
        return 0;
    }
    // SAFETY: the mapping has three words and stays; another process writes them whole.
    unsafe { ptr::read_volatile(shared.add(place)) }
}

fn next(name: &CStr) -> *mut c_void {
    const NEXT: *mut c_void = -1_isize as *mut c_void;
    // SAFETY: the name ends with a zero.
    unsafe { dlsym(NEXT, name.as_ptr()) }
}

#[unsafe(no_mangle)]
pub extern "C" fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int {
    static REAL: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
    let mut real = REAL.load(Ordering::Relaxed);
    if real.is_null() {
        real = next(c"clock_gettime");
        REAL.store(real, Ordering::Relaxed);
    }
    // SAFETY: the C library's function of this name has this type; the caller gave `time`.
    unsafe {
        let real: extern "C" fn(c_int, *mut Timespec) -> c_int = std::mem::transmute(real);
        let result = real(clock, time);
        if result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
            (*time).seconds += word(0);
        }
        result
    }
}

fn slowly(name: &CStr, file: c_int) -> c_int {
    let millis = word(1);
    if millis > 0 {
        thread::sleep(Duration::from_millis(millis.unsigned_abs()));
    }
    // SAFETY: the C library's functions of these names have this type.
    unsafe {
        let real: extern "C" fn(c_int) -> c_int = std::mem::transmute(next(name));
        real(file)
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn fsync(file: c_int) -> c_int {
    slowly(c"fsync", file)
}

#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(file: c_int) -> c_int {
    slowly(c"fdatasync", file)
}

/// Whether this file lies on the device that refuses writes; the caller sees why.
fn refuses(file: c_int) -> bool {
    const EROFS: c_int = 30;
    let device = word(2);
    if device == 0 {
        return false;
    }
    let mut status = [0_u64; 32];
    // SAFETY: `struct stat` is shorter, and begins with the device.
    let is_there = unsafe {
        fstat(file, status.as_mut_ptr()) == 0 && status[0] == device.cast_unsigned()
    };
    if is_there {
        // SAFETY: the calling thread's own.
        unsafe { *__errno_location() = EROFS };
    }
    is_there
}

#[unsafe(no_mangle)]
pub extern "C" fn write(file: c_int, bytes: *const c_void, length: usize) -> isize {
    static REAL: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
    if refuses(file) {
        return -1;
    }
    let mut real = REAL.load(Ordering::Relaxed);
    if real.is_null() {
        real = next(c"write");
        REAL.store(real, Ordering::Relaxed);
    }
    // SAFETY: the C library's function of this name has this type.
    unsafe {
        let real: extern "C" fn(c_int, *const c_void, usize) -> isize = std::mem::transmute(real);
        real(file, bytes, length)
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn pwrite64(file: c_int, bytes: *const c_void, length: usize, at: i64) -> isize {
    if refuses(file) {
        return -1;
    }
    // SAFETY: the C library's function of this name has this type.
    unsafe {
        let real: extern "C" fn(c_int, *const c_void, usize, i64) -> isize =
            std::mem::transmute(next(c"pwrite64"));
        real(file, bytes, length, at)
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn pwrite(file: c_int, bytes: *const c_void, length: usize, at: i64) -> isize {
    pwrite64(file, bytes, length, at)
}
