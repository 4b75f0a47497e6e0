"""Choose vendor, score, guarantee and the making of inputs."""
