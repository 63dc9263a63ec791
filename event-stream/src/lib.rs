//! NATS JetStream: the relay that publishes the log, the consumers that read it, the command queue. The store is the truth and the
//! broker only carries: nothing here is believed that the store does not say as well.
