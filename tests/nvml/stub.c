/* A stub of libnvidia-ml.so.1 with the functions that Stepline calls.

   STUB_GPUS lists the GPUs, separated by blanks. A GPU is its uuid; a colon and the uuids of its MIG instances, separated by
   commas, may follow (none: MIG is enabled, but there is no instance). A uuid that begins with `lost` cannot be read.
   STUB_DRIVER and STUB_CUDA are the versions of the driver and of CUDA, the latter as 1000 × major + 10 × minor.

   The load of the GPU with index n is 10 + n percent, its power 100 + n watts its temperature 50 + n degrees Celsius, and the
   bit mask of its throttle reasons 64 << n. */

#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_FOUND = 6, GPU_IS_LOST = 15, MOST = 16, LONGEST = 96 };

typedef struct {
    char uuid[LONGEST];
    int has_mig;
    unsigned instances;
    char instance_uuids[MOST][LONGEST];
} Gpu;

typedef struct {
    unsigned long long total, free, used;
} Memory;

typedef struct {
    unsigned gpu, memory;
} Utilization;

static Gpu gpus[MOST];
static unsigned count;

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    const char *listed = getenv("STUB_GPUS");
    char *text = strdup(listed ? listed : ""), *rest = text, *word;
    memset(gpus, 0, sizeof gpus);
    count = 0;
    while ((word = strsep(&rest, " ")) != NULL) {
        if (*word == 0 || count == MOST)
            continue;
        Gpu *gpu = &gpus[count++];
        char *uuid = strsep(&word, ":"), *instance;
        strncpy(gpu->uuid, uuid, LONGEST - 1);
        gpu->has_mig = word != NULL;
        while (word != NULL && (instance = strsep(&word, ",")) != NULL)
            if (*instance != 0 && gpu->instances < MOST)
                strncpy(gpu->instance_uuids[gpu->instances++], instance, LONGEST - 1);
    }
    free(text);
    return SUCCESS;
}

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code) { return code == GPU_IS_LOST ? "GPU is lost" : "stub error"; }

int nvmlSystemGetDriverVersion(char *version, unsigned length) {
    const char *set = getenv("STUB_DRIVER");
    strncpy(version, set ? set : "580.95.05", length);
    return SUCCESS;
}

int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    const char *set = getenv("STUB_CUDA");
    *version = atoi(set ? set : "13000");
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *found) {
    *found = count;
    return SUCCESS;
}

/* A GPU's handle is the address of its uuid. */
int nvmlDeviceGetHandleByIndex_v2(unsigned index, char **handle) {
    if (index >= count)
        return INVALID_ARGUMENT;
    if (strncmp(gpus[index].uuid, "lost", 4) == 0)
        return GPU_IS_LOST;
    *handle = gpus[index].uuid;
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, char **handle) {
    for (unsigned index = 0; index < count; index++)
        if (strcmp(gpus[index].uuid, uuid) == 0)
            return nvmlDeviceGetHandleByIndex_v2(index, handle);
    return NOT_FOUND;
}

static unsigned index_of(char *handle) { return (unsigned)((Gpu *)handle - gpus); }

int nvmlDeviceGetUtilizationRates(char *handle, Utilization *rates) {
    rates->gpu = 10 + index_of(handle);
    rates->memory = 0;
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(char *handle, unsigned *milliwatts) {
    *milliwatts = 1000 * (100 + index_of(handle));
    return SUCCESS;
}

int nvmlDeviceGetTemperature(char *handle, int sensor, unsigned *celsius) {
    (void)sensor;
    *celsius = 50 + index_of(handle);
    return SUCCESS;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(char *handle, unsigned long long *reasons) {
    *reasons = 0x40 << index_of(handle);
    return SUCCESS;
}

int nvmlDeviceGetMigMode(char *handle, unsigned *current, unsigned *pending) {
    *current = *pending = ((Gpu *)handle)->has_mig;
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(char *handle, unsigned *most) {
    (void)handle;
    *most = 7;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(char *handle, unsigned index, char **instance) {
    Gpu *gpu = (Gpu *)handle;
    if (index >= gpu->instances)
        return NOT_FOUND;
    *instance = gpu->instance_uuids[index];
    return SUCCESS;
}

int nvmlDeviceGetUUID(char *handle, char *uuid, unsigned length) {
    strncpy(uuid, handle, length);
    return SUCCESS;
}

int nvmlDeviceGetName(char *handle, char *name, unsigned length) {
    (void)handle;
    strncpy(name, "GPU of a test", length);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(char *handle, Memory *memory) {
    (void)handle;
    memory->total = memory->free = 16ULL << 30;
    memory->used = 0;
    return SUCCESS;
}
