//! Notes on the packet at hand, in memory whose contents the verifier does not follow.
//!
//! The verifier walks every way through the program, and tells two ways apart as long as any value
//! differs that a later branch looks at. A parsed packet has hundreds of shapes; kept in registers
//! and on the stack, each would be followed through every later stage.

use core::mem::MaybeUninit;

use filter_common::{
    abi::{reason::Reason, settings::policy},
    logic::{
        classify::{Candidates, Classes, Numbers},
        packet::Packet,
        syn::{Answer, Offer, Terms},
    },
};

use crate::{
    limits::{BILLS, Bill},
    state::Segment,
};

/// The notes of one CPU. Meaningless between packets.
#[repr(C)]
pub struct Scratch {
    packet: MaybeUninit<Packet>,
    /// Code of the first reason that would have dropped the packet, plus one; 0 for none.
    observed: u64,
    /// The code of the reason that spares the packet from limits, plus one; 0 for none.
    spared: u64,
    /// 1: this CPU is under pressure.
    pub pressure: u32,
    /// Bytes of the frame, as it came.
    pub length: u32,
    /// The services that the packet belongs to, as a set.
    services: u64,
    /// What speaks for a SYN: `ceilings::standing`.
    standing: u64,
    /// The bank of rules that the packet was classified with: another may be in force by the
    /// time that it meets one.
    pub rule_bank: u32,
    /// The row of the settings that hold for the packet.
    pub settings_row: u32,
    /// 1: the frame is an answer now, for the driver to send.
    pub is_sent: u32,
    /// The service that a later fragment has from the first, by its index plus one.
    pub inherited: u8,
    reserved: [u8; 3],
    /// The rules that the packet may meet.
    pub candidates: Candidates,
    /// What classification looks at.
    pub numbers: Numbers,
    /// The packet's classes.
    pub classes: Classes,
    /// What the packet owes to tables of limits.
    pub bills: [Bill; BILLS],
    /// The headers of a TCP segment, as the kernel's helpers want them.
    pub segment: Segment,
    /// The headers of an answer. Not the last, for the verifier takes them to be longer.
    pub answer: Answer,
    /// What a SYN offers.
    pub offer: Offer,
    /// How it is answered.
    pub terms: Terms,
}

impl Scratch {
    /// Forgets the packet before.
    #[inline(always)]
    pub fn clear(&mut self) {
        self.observed = 0;
        self.spared = 0;
        self.services = 0;
        self.inherited = 0;
    }

    /// The policy that holds for the packet.
    #[inline(always)]
    pub fn policy(&self) -> u32 {
        policy(self.settings_row)
    }

    /// The noted packet.
    #[inline(always)]
    pub fn packet(&self) -> &'static Packet {
        // SAFETY: written by `keep`, before any stage runs; the entry lives as long as the map.
        unsafe { &*self.packet.as_ptr() }
    }

    /// Notes the services that the packet belongs to.
    #[inline(always)]
    pub fn note_services(&mut self, services: u64) {
        self.services = services;
        forget();
    }

    /// The services that the packet belongs to, as a set.
    #[inline(always)]
    pub fn services(&self) -> u64 {
        match self.inherited {
            0 => self.services,
            service => 1_u64.wrapping_shl(u32::from(service).wrapping_sub(1)),
        }
    }

    /// Notes the reason that spares the packet from limits.
    #[inline(always)]
    pub fn spare(&mut self, reason: Reason) {
        self.spared = u64::from(reason.code()).wrapping_add(1);
        forget();
    }

    /// Code of the reason that spares the packet.
    #[inline(always)]
    pub fn spared(&self) -> Option<u8> {
        match self.spared {
            0 => None,
            code => Some(code.wrapping_sub(1) as u8),
        }
    }

    /// Notes what speaks for a SYN, and gives it back.
    #[inline(always)]
    pub fn stand(&mut self, standing: u64) -> u64 {
        self.standing = standing;
        forget();
        self.standing
    }

    /// What speaks for a SYN.
    #[inline(always)]
    pub fn standing(&self) -> u64 {
        self.standing
    }

    /// Writes the packet down and reads it back. Each way of parsing has a number, so that its store
    /// is another one to the compiler, which would otherwise carry every field to where the ways
    /// meet.
    #[inline(always)]
    pub fn keep<const WAY: u32>(&mut self, packet: Packet) -> &'static Packet {
        self.packet.write(packet);
        // SAFETY: one instruction that does nothing: with none, two lines would be at one place.
        unsafe { core::arch::asm!("r0 = r0 # {way}", way = const WAY, options(nostack)) };
        // SAFETY: written above; the entry lives as long as the map.
        unsafe { &*self.packet.as_ptr() }
    }

    /// Notes a reason, unless one was noted before.
    #[inline(always)]
    pub fn observe(&mut self, reason: Reason) {
        if self.observed == 0 {
            self.observed = u64::from(reason.code()).wrapping_add(1);
        }
        forget();
    }

    /// Code of the noted reason.
    #[inline(always)]
    pub fn observed(&self) -> Option<u8> {
        match self.observed {
            0 => None,
            code => Some(code.wrapping_sub(1) as u8),
        }
    }
}

/// Makes the compiler, too, forget what it knows of memory.
#[inline(always)]
fn forget() {
    // SAFETY: no instruction at all.
    unsafe { core::arch::asm!("", options(nostack)) };
}
