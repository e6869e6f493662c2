"""The monitor process: follows the prediction log and answers about it, for every worker."""

import sys

sys.stdin.buffer.readline()
sys.stdin.buffer.read()
