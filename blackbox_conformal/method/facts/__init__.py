"""What an answer changed, told from it and its input alone: arrays in, facts out."""
