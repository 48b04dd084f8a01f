"""What generations of kernels leave to their processes: who reclaims when, and how a task gets a page it must wait for.

| module | kernels | who reclaims |
|---|---|---|
| `late` | 2.4.16 and later | kswapd zone by zone; tasks themselves below the min marks |
| `v2_2` | 2.2 | tasks themselves until *high* pages are free; kswapd once a second |
| `v2_4_0` | 2.4.0 | kswapd and kreclaimd; tasks sleep until kswapd's round ends |

Everybody else knows only `generation.Generation`.
"""
