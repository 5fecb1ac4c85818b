"""Callbacks: endpoints outside are told of jobs that have ended, as Standard Webhooks has it."""
