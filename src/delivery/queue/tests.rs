mod crash;
mod flow;
mod model;
