//! Logs and their directory, on the simulated disk and on a real one.

mod basics;
mod crash;
mod faults;
mod layout;
mod support;
