/// Where berth-runtime begins (`-e berth_sealed_start`): see start.c. Nobody calls it.
#ifndef BERTH_CSEALEDSTART_H
#define BERTH_CSEALEDSTART_H
void berth_sealed_start(void);
#endif
