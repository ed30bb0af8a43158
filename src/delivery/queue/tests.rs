mod crash;
mod faults;
mod flow;
mod keeping;
mod model;
