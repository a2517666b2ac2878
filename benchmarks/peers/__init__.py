"""What Ringfence is measured against: plain Python (`plain`), and stream processors on the same broker."""
